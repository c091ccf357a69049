"""The distribution. Versions are pinned to those whose wheels were tried on each Python from 3.8 to 3.13."""
import os
import re

from setuptools import find_packages, setup

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*path: str) -> str:
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


RUNTIME = [
    "gevent==24.2.1; python_version < '3.9'",
    "gevent==25.9.1; python_version == '3.9'",
    "gevent==26.9.0; python_version >= '3.10'",
    "greenlet==3.1.1; python_version < '3.9'",
    "greenlet==3.2.5; python_version == '3.9'",
    "greenlet==3.5.6; python_version >= '3.10'",
    "lxml==6.1.3",
    "msgspec==0.18.6; python_version < '3.9'",
    "msgspec==0.20.0; python_version == '3.9'",
    "msgspec==0.22.0; python_version >= '3.10'",
    # sleekxmpp 1.3.3 doesn't import from Python 3.9 on; sleekxmpp-new is its last development tree with that put right.
    "sleekxmpp==1.3.3; python_version < '3.9'",
    "sleekxmpp-new==1.4.1; python_version >= '3.9'",
    "setuptools; python_version >= '3.12'",  # sleekxmpp-new imports distutils
]

SRV = [
    "dnspython==2.6.1; python_version < '3.9'",
    "dnspython==2.7.0; python_version == '3.9'",
    "dnspython==2.8.0; python_version == '3.10'",
    "dnspython==2.9.2; python_version >= '3.11'",
]

CERTIFICATES = [
    "cryptography==43.0.3; python_version < '3.10'",
    "cryptography==50.0.2; python_version >= '3.10'",
]

DEMO = SRV + CERTIFICATES + [
    "aiortc==1.16.0; python_version >= '3.11'",
    "aiortc>=1.9; python_version < '3.11'",
    "websockets==17.4; python_version >= '3.11'",
    "websockets>=13; python_version < '3.11'",
    "playwright==1.65.2; python_version >= '3.10'",
    "playwright>=1.48; python_version < '3.10'",
    "supervisor==4.3.0",
]

# What the unit and wire tests need, on every Python.
UNIT = SRV + CERTIFICATES + [
    "pytest==8.3.5; python_version < '3.9'",
    "pytest==8.4.2; python_version == '3.9'",
    "pytest==9.2.0; python_version >= '3.10'",
    "hypothesis==6.113.0; python_version < '3.9'",
    "hypothesis==6.141.1; python_version == '3.9'",
    "hypothesis==6.168.5; python_version == '3.10'",
    "hypothesis==6.170.17; python_version >= '3.11'",
]

TEST = UNIT + DEMO + [
    "ruff==0.17.6",
    "mypy==2.4.1; python_version >= '3.10'",
    "lxml-stubs==0.5.1",
    "types-setuptools==84.2.0.20261104",
    "psutil==7.2.2",
]

setup(
    name="jicofo",
    version=re.search(r'__version__ = "(.+)"', read("focus", "__init__.py")).group(1),  # type: ignore[union-attr]
    description="A conference focus for Jitsi Meet",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.8",
    packages=find_packages(include=["focus", "focus.*"]),
    include_package_data=True,
    install_requires=RUNTIME,
    extras_require={"srv": SRV, "demo": DEMO, "unit": UNIT, "test": TEST},
    entry_points={"console_scripts": ["jicofo = focus.cli:main"]},
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Programming Language :: Python :: 3",
        "Topic :: Communications :: Conferencing",
    ],
)
