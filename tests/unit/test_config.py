"""Configuration: the table, the order of sources, legacy flags, values that are wrong (O-110 to O-116)."""
from __future__ import annotations

import pathlib
import re
import typing

import pytest

from focus.conference.offer import CodecConfig
from focus.config import Config, ConfigError, kinds, load, pages
from focus.config.options import BY_NAME, OPTIONS, SECTIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOMAIN = "--domain=meet.example"


def loaded(*arguments, ini=None, tmp_path=None, **environment):
    given = [DOMAIN, *arguments]
    if ini is not None:
        path = tmp_path / "jicofo.ini"
        path.write_text(ini, encoding="utf-8")
        path.chmod(0o640)
        given.append("--config=%s" % path)
    return load(given, environment)


def refused(*arguments, **environment):
    with pytest.raises(ConfigError) as caught:
        load(list(arguments), environment)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- the table -------------------------------------------------------------------------------------------------------

def test_names_variables_flags_and_places_are_unique():
    for column in ([option.name for option in OPTIONS], [option.variable for option in OPTIONS],
                   [(option.section, option.key) for option in OPTIONS],
                   [flag for option in OPTIONS for flag in option.flags]):
        assert len(column) == len(set(column))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_row(option):
    assert option.section in SECTIONS
    assert option.meaning.endswith(".")
    if option.default is not None:
        value = option.kind.parse(option.default)
        assert option.kind.parse(option.kind.show(value)) == value


def test_config_declares_every_option():
    declared = set(typing.get_type_hints(Config)) - {"warnings", "login_domain", "_origins"}
    assert declared == {option.name for option in OPTIONS if option.section != "codec"}


@pytest.mark.parametrize("name, hint", sorted(typing.get_type_hints(Config).items()))
def test_types_of_values(name, hint):
    config = loaded("--no_bridge_grace=2", "--source_signaling_delays=50: 500ms")
    value = getattr(config, name)
    kinds_of_value = [kind for kind in typing.get_args(hint) or (hint,) if isinstance(kind, type)]
    origin = typing.get_origin(hint)
    if origin in (tuple, dict):
        assert isinstance(value, origin)
    else:
        assert isinstance(value, tuple(kinds_of_value))


def test_the_shipped_ini_is_the_table():
    assert (ROOT / "conf" / "jicofo.ini").read_text(encoding="utf-8") == pages.ini()


def test_the_reference_page_is_the_table():
    assert (ROOT / "docs" / "configuring.md").read_text(encoding="utf-8") == pages.page()


def test_the_shipped_ini_changes_nothing():
    config = loaded("--config", str(ROOT / "conf" / "jicofo.ini"))
    assert config.changed() == ["domain = meet.example (flag --domain)"]
    assert config.warnings == ()


def test_every_default_of_the_shipped_ini_can_be_switched_on(tmp_path):
    text = "\n".join(line[1:] if line[:1] == "#" and line[1:2] not in (" ", "") else line
                     for line in pages.ini().split("\n"))
    config = loaded(ini=text, tmp_path=tmp_path, JICOFO_AUTH_PASSWORD="p1")
    assert config.warnings == ()
    plain = loaded(JICOFO_AUTH_PASSWORD="p1")
    for option in OPTIONS:
        assert getattr(config, option.name) == getattr(plain, option.name)
    assert len(config.changed()) == 2 + sum(1 for option in OPTIONS if option.default)


# --- legacy flags ----------------------------------------------------------------------------------------------------

def test_started_with_the_legacy_flags_alone():
    config = load(["--domain=meet.example", "--host=10.0.0.7", "--port=5348", "--subdomain=conferencing",
                   "--secret=s1", "--user_domain=auth.meet.example", "--user_name=boss", "--user_password=p1"], {})
    assert (config.domain, config.host, config.component_host) == ("meet.example", "10.0.0.7", "10.0.0.7")
    assert (config.component_port, config.component_domain) == (5348, "conferencing.meet.example")
    assert (config.component_secret, config.user_password) == ("s1", "p1")
    assert (config.user_jid, config.login_domain) == ("boss@auth.meet.example", "auth.meet.example")
    assert (config.resource, config.client_port) == ("boss", 5222)
    assert config.conference_muc == "conference.meet.example"
    assert config.brewery_jid == "jvbbrewery@internal.auth.meet.example"
    assert not config.conference_muc_configured


def test_defaults_of_the_legacy_flags():
    config = load(["--domain=meet.example"], {})
    assert config.host == config.component_host == "meet.example"
    assert (config.component_port, config.component_subdomain) == (5347, "focus")
    assert (config.user_domain, config.user_name, config.resource) == ("auth.meet.example", "focus", "focus")
    assert config.user_password is None and config.user_jid is None
    assert config.component_secret is None and not config.component_enabled


@pytest.mark.parametrize("arguments, domain, host", [
    (["--host=meet.example"], "meet.example", "meet.example"),
    (["--domain=meet.example", "--host=localhost"], "meet.example", "localhost"),
    (["--domain=meet.example", "--host=[2001:db8::1]"], "meet.example", "2001:db8::1"),
    (["--domain=MEET.example."], "meet.example", "meet.example"),
    (["--host=localhost"], "localhost", "localhost"),
    (["--user_domain=auth.meet.example"], "meet.example", "localhost"),
    (["--host=10.0.0.7", "--user_domain=auth.meet.example"], "meet.example", "10.0.0.7"),
    (["--host=localhost", "--user_domain=auth.meet.example"], "meet.example", "localhost"),
])
def test_domain_and_host_stand_in_for_each_other(arguments, domain, host):
    config = load(arguments, {})
    assert (config.domain, config.host) == (domain, host)


@pytest.mark.parametrize("arguments, user_domain, login_domain", [
    ([], "auth.meet.example", "auth.meet.example"),
    (["--user_domain=users.example"], "users.example", "users.example"),
    (["--user_name=focus@users.example"], "users.example", "users.example"),
    (["--user_name=focus@users.example", "--user_domain=auth.example"], "auth.example", "users.example"),
])
def test_account(arguments, user_domain, login_domain):
    config = loaded("--user_password=p1", *arguments)
    assert (config.user_domain, config.login_domain) == (user_domain, login_domain)
    assert config.user_jid == "focus@" + login_domain
    assert config.brewery_jid == "jvbbrewery@internal." + user_domain


@pytest.mark.parametrize("arguments", [
    ["--port=5348"], ["--port", "5348"], ["-port=5348"], ["port=5348"], ["-port", "5348"], ["--component_port=5348"],
    ["--component-port", "5348"], ["--port=1", "--port=5348"], ["--port", " 5348 "],
])
def test_forms_of_a_flag(arguments):
    assert loaded(*arguments).component_port == 5348


@pytest.mark.parametrize("arguments, complaint", [
    (["--secret="], "skipped the empty argument --secret"),
    (["--secret", ""], "skipped the empty argument --secret"),
    (["--secret"], "skipped the argument '--secret': it has no value; write --name=value"),
    (["--secret", "--port=5347"], "skipped the argument '--secret': it has no value; write --name=value"),
    (["--secret", "-port=5347"], "skipped the argument '--secret': it has no value; write --name=value"),
    (["stray"], "skipped the argument without a name: it has no value; write --name=value"),
    (["--nothing=1"], "skipped the unknown argument --nothing"),
    (["--subdomian=x"], "skipped the unknown argument --subdomian; did you mean subdomain?"),
])
def test_arguments_that_are_skipped(arguments, complaint):
    config = loaded(*arguments)
    assert config.warnings == (complaint,)
    assert config.component_secret is None


def test_a_password_may_begin_with_a_hyphen():
    assert loaded("--user_password", "-x9").user_password == "-x9"
    assert loaded("--user_password=--domain").user_password == "--domain"


@pytest.mark.parametrize("flag, variable", [("secret", "JICOFO_SECRET"), ("user_password", "JICOFO_AUTH_PASSWORD")])
def test_a_secret_by_flag_is_warned_about(flag, variable):
    config = loaded("--%s=hunter2" % flag)
    assert len(config.warnings) == 1 and variable in config.warnings[0]
    assert "hunter2" not in config.warnings[0]
    assert loaded(**{variable: "hunter2"}).warnings == ()


# --- the order of sources --------------------------------------------------------------------------------------------

INI = "[xmpp]\nport = 1003\npassword = from # the ini\n\n[component]\nsecret=%(x)s: y = z\n"


def test_flag_over_variable_over_ini_over_default(tmp_path):
    steps = [((), {}, None, 5222, "default"),
             ((), {}, INI, 1003, "jicofo.ini:2 [xmpp] port"),
             ((), {"JICOFO_CLIENT_PORT": "1002"}, INI, 1002, "variable JICOFO_CLIENT_PORT"),
             (("--client_port=1001",), {"JICOFO_CLIENT_PORT": "1002"}, INI, 1001, "flag --client_port")]
    for arguments, environment, ini, port, source in steps:
        config = loaded(*arguments, ini=ini, tmp_path=tmp_path, **environment)
        assert config.client_port == port
        assert config.source_of("client_port").endswith(source)


def test_values_of_the_ini_go_to_the_end_of_the_line(tmp_path):
    config = loaded(ini=INI, tmp_path=tmp_path)
    assert (config.user_password, config.component_secret) == ("from # the ini", "%(x)s: y = z")


def test_variables_of_the_secrets():
    config = loaded(JICOFO_SECRET="s1", JICOFO_AUTH_PASSWORD="p1")
    assert (config.component_secret, config.user_password) == ("s1", "p1")
    assert loaded("--secret=s2", JICOFO_SECRET="s1").component_secret == "s2"
    assert loaded("--secret=", JICOFO_SECRET="s1").component_secret == "s1"
    assert loaded(JICOFO_SECRET="").component_secret is None


def test_variables_that_are_not_ours():
    config = loaded(JICOFO_MAX_MEMORY="3g", JICOFO_OPTS="x", JICOFO_HOSTNAME="x", JICOFO_PORT="5347", HOME="/x",
                    JICOFO_AUTH_PASWORD="x", JICOFO_WHATEVER="x")
    assert config.warnings == (
        "the variable JICOFO_AUTH_PASWORD is unknown; did you mean JICOFO_AUTH_PASSWORD?",
        "the variable JICOFO_MAX_MEMORY is for Java and has no effect here")


@pytest.mark.parametrize("ini, complaint", [
    ("[xmpp]\nprot = 1\n", ":2: [xmpp] prot is unknown; did you mean port?"),
    ("[xmpp]\nhost = x\n", ":2: [xmpp] host is unknown; its name here is [xmpp] hostname"),
    ("[xmpp]\nclient_port = 1\n", ":2: [xmpp] client_port is unknown; its name here is [xmpp] port"),
    ("[xmpp]\nclient.xmpp-domain = x\n",
     ":2: [xmpp] client.xmpp_domain is unknown; its name here is [xmpp] xmpp_domain"),
    ("[jicofo]\norg.jitsi.jicofo.BRIDGE_MUC = x\n",
     ":2: [jicofo] org.jitsi.jicofo.bridge_muc is unknown; its name here is [bridge] brewery_jid"),
    ("[confrence]\nintial_timeout = 1\n", ":2: [confrence] intial_timeout is unknown; did you mean conference?"),
    ("[confrence]\ninitial_timeout = 1\n",
     ":2: [confrence] initial_timeout is unknown; its name here is [conference] initial_timeout"),
    ("[rest]\nport = 8888\n", ":2: [rest] port is unknown"),
    ("[log]\nlevel=INFO\n\n[log]\nLevel : FINE\n", ":5: [log] level is set again; the value of line 2 is not used"),
])
def test_ini_warnings(ini, complaint, tmp_path):
    (warning,) = loaded(ini=ini, tmp_path=tmp_path).warnings
    assert warning.endswith("jicofo.ini" + complaint)


def test_empty_values_of_the_ini_are_not_set(tmp_path):
    config = loaded(ini="\ufeff[component]\nsecret =\n[xmpp]\nport=\n", tmp_path=tmp_path)
    assert config.component_secret is None and config.client_port == 5222


@pytest.mark.parametrize("content, complaint", [
    (b"port = 1\n", ":1: a value before the first [section]"),
    (b"[xmpp]\n\nmysecretword\n", ":3: neither a [section] nor key = value nor a comment"),
    (b"[xmpp]\nport = \xff\n", ":2: not UTF-8 text; save the file as UTF-8"),
    (b"#" * 1100000, ": larger than 1 MiB; that is no ini file of ours"),
])
def test_files_that_are_no_ini(content, complaint, tmp_path):
    path = tmp_path / "jicofo.ini"
    path.write_bytes(content)
    assert refused(DOMAIN, "--config", str(path)) == str(path) + complaint


def test_a_missing_ini(tmp_path):
    path = str(tmp_path / "none.ini")
    assert refused(DOMAIN, "--config", path) == (
        path + ": No such file or directory; --config names the ini file to read")


def test_an_ini_with_a_secret_that_everyone_can_read(tmp_path):
    path = tmp_path / "jicofo.ini"
    path.write_text("[component]\nsecret = x9\n")
    path.chmod(0o644)
    assert load([DOMAIN, "--config", str(path)], {}).warnings == (
        "%s has a secret in it and can be read by everyone (mode 644); chmod 640" % path,)


# --- values that are wrong -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("argument, complaint", [
    ("--port=x", "component_port: 'x' (flag --port) is not a whole number; give a whole number from 1 to 65535"),
    ("--port=0", "component_port: '0' (flag --port) is too small; give a whole number from 1 to 65535"),
    ("--port=99999", "component_port: '99999' (flag --port) is too large; give a whole number from 1 to 65535"),
    ("--use_tls=perhaps", "use_tls: 'perhaps' (flag --use_tls) is neither true nor false; give true or false"),
    ("--host=a b", "host: 'a b' (flag --host) is neither a host name nor an IP address; "
                   "give a host name or an IP address"),
    ("--host=xmpp:5222", "host: 'xmpp:5222' (flag --host) has a port in it, which is an option of its own; "
                         "give a host name or an IP address"),
    ("--user_domain=focus@x", "user_domain: 'focus@x' (flag --user_domain) has an '@' or a '/', which a domain hasn't; "
                              "give a domain such as meet.example"),
    ("--user_domain=192.0.2.1", "user_domain: '192.0.2.1' (flag --user_domain) is an IP address; XMPP domains are "
                                "names; give a domain such as meet.example"),
    ("--user_domain='x.y'", "user_domain: ''x.y'' (flag --user_domain) is in quotes, which would be part of the value; "
                            "give a domain such as meet.example"),
    ("--user_name=a b", "user_name: 'a b' (flag --user_name) is not the part of an address before the '@'; "
                        "give a name such as focus, or name@domain"),
    ("--brewery_jid=bridges", "brewery_jid: 'bridges' (flag --brewery_jid) has no '@'; "
                              "give an address such as room@domain, or none"),
    ("--log_level=LOUD", "log_level: 'LOUD' (flag --log_level) is none of them; "
                         "give one of SEVERE, WARNING, INFO, FINE or FINER"),
    ("--reply_timeout=15000", "reply_timeout: '15000' (flag --reply_timeout) is too long (a bare number is seconds); "
                              "give a duration of 1 s to 5 min, such as 15 s or 500 ms"),
    ("--reply_timeout=1 fortnight", "reply_timeout: '1 fortnight' (flag --reply_timeout) has the unit 'fortnight', "
                                    "which is none of ms, s, m, h, d or their long names; give a duration of 1 s to "
                                    "5 min, such as 15 s or 500 ms"),
    ("--stanza_size_limit=1", "stanza_size_limit: '1' (flag --stanza_size_limit) is too small; "
                              "give a size of 10 kB to 100 MB, such as 500 kB or 2 MB"),
    ("--source_signaling_delays=many", "source_signaling_delays: 'many' (flag --source_signaling_delays) has 'many' "
                                       "where a size and a delay should be; give sizes with delays such as "
                                       "50: 500 ms, 100: 1 s"),
    ("--port=1\n2\x1b[1m", "component_port: '1\\n2\\x1b[1m' (flag --port) is not a whole number; "
                           "give a whole number from 1 to 65535"),
])
def test_wrong_values_name_the_option_its_source_and_what_would_be_right(argument, complaint):
    assert refused(DOMAIN, argument) == complaint


def test_wrong_values_of_variables_and_files(tmp_path):
    assert refused(DOMAIN, JICOFO_COMPONENT_PORT="x").startswith(
        "component_port: 'x' (variable JICOFO_COMPONENT_PORT) is not")
    path = tmp_path / "jicofo.ini"
    path.write_text("[component]\n\nport: x\n")
    assert refused(DOMAIN, "--config=%s" % path).startswith(
        "component_port: 'x' (%s:3 [component] port) is not a whole number" % path)


def test_a_wrong_secret_is_not_shown():
    text = refused(DOMAIN, JICOFO_SECRET="hunter\x012")
    assert text == ("component_secret: the value (variable JICOFO_SECRET) has control characters in it; "
                    "give the secret itself, without control characters")


@pytest.mark.parametrize("arguments", [[], ["--user_domain=users.example"], ["--host=10.0.0.7"]])
def test_without_a_domain(arguments):
    assert refused(*arguments) == ("domain: not set; give the main XMPP domain: --domain=meet.example, "
                                   "JICOFO_DOMAIN=meet.example, or [xmpp] xmpp_domain = meet.example in the ini")


@pytest.mark.parametrize("sample", ["passw0rd", "s3cr3t", "YOURSECRET1", "YOUR-SECRET", "changeme", "ChangeMe!",
                                    "change-me", "YOURSECRET_FOR_JICOFO"])
def test_samples_of_public_examples_are_refused(sample):
    for variable, name in (("JICOFO_SECRET", "component_secret"), ("JICOFO_AUTH_PASSWORD", "user_password")):
        text = refused(DOMAIN, **{variable: sample})
        assert text.startswith("%s: the value (variable %s) is a sample" % (name, variable))
        assert sample not in text
        config = loaded("--allow_sample_secrets=true", **{variable: sample})
        assert getattr(config, name) == sample


def test_the_certificates_must_be_there(tmp_path):
    missing = str(tmp_path / "ca.pem")
    assert refused(DOMAIN, "--ca_file", missing) == (
        "ca_file: %s (flag --ca_file): No such file or directory; give a PEM file of certificates" % missing)
    other = tmp_path / "other.pem"
    other.write_text("nothing")
    assert "has no certificate in it" in refused(DOMAIN, "--ca_file", str(other))


@pytest.mark.parametrize("arguments, complaint", [
    (["--codec_video_vp8_pt=101"],
     "[codec] video_vp9_pt: the payload type 101 is also that of [codec] video_vp8_pt; give each its own"),
    (["--codec_audio_opus_red_enabled=true", "--codec_audio_opus_red_pt=111"],
     "[codec] audio_opus_red_pt: the payload type 111 is also that of [codec] audio_opus_pt; give each its own"),
    (["--codec_rtp_extensions_mid_id=1"],
     "[codec] rtp_extensions_mid_id: the id 1 is also that of [codec] rtp_extensions_audio_level_id; "
     "give each its own"),
])
def test_one_number_means_one_thing(arguments, complaint):
    assert refused(DOMAIN, *arguments) == complaint


def test_numbers_of_what_is_off_may_clash():
    loaded("--codec_video_vp8_pt=101", "--codec_video_vp9_enabled=false", "--codec_rtp_extensions_tof_id=1",
           "--codec_video_av1_rtx_pt=-1", "--codec_video_h264_rtx_pt=-1")


def test_a_name_without_a_password_is_warned_about():
    (warning,) = loaded("--user_name=boss").warnings
    assert "JICOFO_AUTH_PASSWORD" in warning and "anonymously" in warning


def test_proxy_and_component_of_one_name_are_warned_about():
    (warning,) = loaded("--client_proxy=focus.meet.example", JICOFO_SECRET="x9").warnings
    assert warning.startswith("focus.meet.example is both")


# --- kinds of values -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, seconds, shown", [
    ("15", 15, "15 s"), ("15s", 15, "15 s"), ("15 seconds", 15, "15 s"), ("1 second", 1, "1 s"),
    ("500ms", 0.5, "500 ms"), ("90 s", 90, "90 s"), ("0.001 s", 0.001, "1 ms"),
    ("1 minute", 60, "1 min"), ("2m", 120, "2 min"), ("24 hours", 86400, "24 h"), ("0", 0, "0 s"),
    ("1.5", 1.5, "1500 ms"),
    ("1 Day", 86400, "24 h"), ("250 millis", 0.25, "250 ms"),
])
def test_durations(text, seconds, shown):
    assert kinds.parse_duration(text) == seconds
    assert kinds.show_duration(seconds) == shown
    assert kinds.parse_duration(shown) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1e3", "1 2", "1 s 2", "0x10", "nan", "inf", "1.", "9" * 400])
def test_what_is_no_duration(text):
    with pytest.raises(kinds.WrongValue):
        kinds.parse_duration(text)


@pytest.mark.parametrize("text, delays", [
    ("50: 500 ms, 100: 1 s", ((50, 0.5), (100, 1.0))), ('{ "100": 1s, "50": 500ms, }', ((50, 0.5), (100, 1.0))),
    ("", ()), ("{}", ()),
])
def test_delays(text, delays):
    assert kinds.DELAYS.parse(text) == delays


@pytest.mark.parametrize("text, size", [("20000", 20000), ("20 kB", 20000), ("2 MB", 2000000), ("64KiB", 65536)])
def test_sizes(text, size):
    assert BY_NAME["stanza_size_limit"].kind.parse(text) == size


@pytest.mark.parametrize("word, level", [("debug", "FINE"), ("Trace", "FINER"), ("warn", "WARNING"), ("info", "INFO")])
def test_words_for_levels(word, level):
    assert loaded("--log_level", word).log_level == level


# --- the value -------------------------------------------------------------------------------------------------------

def test_codecs_have_the_defaults_of_the_offer():
    assert loaded().codec == CodecConfig()


def test_codecs_follow_their_options(tmp_path):
    codec = loaded(ini="[codec]\nvideo_av1_enabled = no\nvideo_vp8_pt = 98\nvideo_vp9_enable_remb = off\n"
                       "video_h264_rtx_pt = -1\naudio_opus_red_enabled = on\naudio_opus_minptime = 20\n"
                       "rtp_extensions_tof_enabled = yes\nrtp_extensions_tcc_id = 6\n"
                       "rtp_extensions_extmap_allow_mixed = 0\n", tmp_path=tmp_path).codec
    assert not codec.av1.enabled and codec.vp8.pt == 98 and not codec.vp9.enable_remb and codec.h264.rtx_pt == -1
    assert codec.red_enabled and codec.opus_minptime == 20 and codec.tof.enabled and codec.tcc.id == 6
    assert not codec.extmap_allow_mixed


def test_the_configuration_is_frozen():
    config = loaded()
    with pytest.raises(AttributeError):
        config.domain = "other.example"
    with pytest.raises(AttributeError):
        del config.domain


def test_secrets_are_never_shown():
    config = loaded("--secret=hunter2", JICOFO_AUTH_PASSWORD="hunter3")
    for text in (repr(config), str(config), "%s" % config.changed(), pages.effective(config), pages.explained(config),
                 config.shown("user_password"), " ".join(config.warnings)):
        assert "hunter" not in text


def test_the_effective_configuration_can_be_read_again(tmp_path):
    first = loaded("--user_password=p1", "--reply_timeout=1500ms", "--max_ssrcs_per_user=30",
                   "--source_signaling_delays=50: 500ms")
    text = "\n".join(line.split("# ")[0].rstrip() for line in pages.effective(first).split("\n"))
    second = loaded("--user_password=p1", ini=text, tmp_path=tmp_path)
    assert [warning for warning in second.warnings if "--user_password" not in warning] == []
    for option in OPTIONS:
        assert getattr(second, option.name) == getattr(first, option.name)


def test_explained_names():
    text = pages.explained(loaded("--secret=s9", JICOFO_AUTH_PASSWORD="p9"))
    for name in ("auth.meet.example", "focus@auth.meet.example", "conference.meet.example", "focus.meet.example",
                 "jvbbrewery@internal.auth.meet.example", "meet.example port 5222", "meet.example port 5347"):
        assert name in text
    anonymous = pages.explained(loaded())
    assert "anonymous" in anonymous and "clients ask the user" in anonymous




def test_every_option_does_something():
    """An option that nobody asks for is a promise that isn't kept."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "focus").rglob("*.py")
               if path.parts[-2] != "demo" and path.name not in ("options.py", "value.py", "load.py", "derive.py")]
    everything = "\n".join(sources)
    used_here = {"component_subdomain", "allow_sample_secrets"}
    unused = [option.name for option in OPTIONS if option.section != "codec" and option.name not in used_here
              and not re.search(r"config\.%s\b" % option.name, everything)]
    assert unused == []
