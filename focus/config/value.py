"""The configuration as a value."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from focus.config.kinds import shown
from focus.config.options import EXTENSIONS, OPTIONS, VIDEO_CODECS, Option

if TYPE_CHECKING:
    from focus.conference.offer import CodecConfig


class Origin(NamedTuple):
    """Where a value came from."""

    text: str
    given: bool = False
    """Somebody gave it: it's neither a default nor derived."""

    def __str__(self) -> str:
        return self.text


class Config:
    """The value of every option; nothing can be changed. What an option means stands in ``focus.config.options``.

    Durations are seconds, sizes bytes, names in lower case; None stands for what isn't set. The options of the codecs
    are in :attr:`codec`.
    """

    domain: str
    host: str
    client_port: int
    use_srv: bool
    user_domain: str
    user_name: str
    """The name part only; :attr:`login_domain` is the other."""
    user_password: Optional[str]
    resource: str
    conference_muc: str
    client_proxy: Optional[str]
    use_tls: bool
    ca_file: Optional[str]
    disable_certificate_verification: bool
    reply_timeout: float
    stanza_size_limit: int
    allow_sample_secrets: bool
    component_secret: Optional[str]
    component_host: str
    component_port: int
    component_subdomain: str
    brewery_jid: str
    """Empty if there is no brewery."""
    health_checks_enabled: bool
    health_checks_interval: float
    health_checks_retry_delay: float
    health_checks_silence: float
    """0: silence moves nobody."""
    health_checks_majority_wait: float
    health_checks_use_presence: bool
    health_checks_presence_timeout: float
    colibri: str
    colibri1_bridges: Tuple[str, ...]
    no_bridge_grace: float
    max_requests_in_flight: int
    """0: no limit."""
    selection_strategy: str
    """The reference's name of it, as of the next two (``bridge.rules``)."""
    participant_selection_strategy: Optional[str]
    visitor_selection_strategy: Optional[str]
    max_bridge_participants: int
    max_bridge_participants_per_interval: int
    max_bridge_participants_interval: float
    spread_conferences: bool
    average_participant_stress: float
    participant_rampup_interval: float
    stress_threshold: float
    failure_reset_threshold: float
    region_groups: Tuple[Tuple[str, ...], ...]
    local_region: Optional[str]
    ice_failure_detection_enabled: bool
    ice_failure_detection_interval: float
    ice_failure_detection_min_endpoints: int
    ice_failure_detection_threshold: float
    ice_failure_detection_timeout: float
    load_redistribution_enabled: bool
    load_redistribution_interval: float
    load_redistribution_stress_threshold: float
    load_redistribution_timeout: float
    load_redistribution_endpoints: int
    topology_strategy: str
    octo_enabled: bool
    octo_allow_mixed_versions: bool
    bridge_jids: Tuple[str, ...]
    service_rediscovery_interval: float
    """0: never; negative: once."""
    client_bridges: Tuple[str, ...]
    pubsub_address: Optional[str]
    pubsub_bridge_nodes: Tuple[Tuple[str, str], ...]
    """(address of the bridge, node)."""
    pubsub_stats_node: Optional[str]
    max_stats_report_age: float
    pubsub_retry_interval: float
    initial_timeout: float
    single_participant_timeout: float
    min_participants: int
    enable_auto_owner: bool
    max_ssrcs_per_user: int
    max_ssrc_groups_per_user: int
    max_audio_senders: int
    max_video_senders: int
    strip_simulcast: bool
    use_json_encoded_sources: bool
    use_ssrc_rewriting: bool
    use_rtp_mid_demux: bool
    source_signaling_delays: Tuple[Tuple[int, float], ...]
    """(size of the conference from which it holds, delay), by ascending size."""
    enable_ice_restart: bool
    check_source_names: bool
    """Whether a source's name must begin with its sender's endpoint id (J-423)."""
    reinvite_method: str
    """``RestartJingle`` or ``ReplaceTransport`` (J-811, J-816)."""
    restart_min_interval: float
    restart_max_requests: int
    restart_interval: float
    shared_document_use_random_name: bool
    sctp_enabled: bool
    octo_sctp_datachannels: bool
    visitors_enabled: bool
    server_queue: int
    journal_file: Optional[str]
    """None: no journal is kept."""
    standby: bool
    log_level: str
    log_file: Optional[str]
    login_domain: str
    """The domain of the account: the stream's ``to``, and the name in the certificate. Derived, no option."""
    warnings: Tuple[str, ...]
    """What the operator should know; each is a sentence without a full stop."""

    def __init__(self, values: Dict[str, Any], origins: Dict[str, Origin], warnings: Tuple[str, ...]) -> None:
        self.__dict__.update(values)
        self.__dict__["warnings"] = warnings
        self.__dict__["_origins"] = dict(origins)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("the configuration can't be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("the configuration can't be changed")

    def __repr__(self) -> str:
        return "<Config of %s>" % self.domain

    def __reduce__(self) -> NoReturn:
        raise TypeError("the configuration has secrets in it and isn't written anywhere")

    @property
    def user_jid(self) -> Optional[str]:
        """The bare address of the account; None if the focus logs in anonymously."""
        return None if self.user_password is None else "%s@%s" % (self.user_name, self.login_domain)

    @property
    def component_enabled(self) -> bool:
        """Whether a component connection is opened."""
        return self.component_secret is not None

    @property
    def component_domain(self) -> str:
        """The address of the component."""
        return "%s.%s" % (self.component_subdomain, self.domain)

    @property
    def conference_muc_configured(self) -> bool:
        """Whether somebody said where the rooms are, so that rooms elsewhere are refused (C-214)."""
        return self._origins["conference_muc"].given

    @property
    def codec(self) -> CodecConfig:
        """The codecs and header extensions to offer."""
        from focus.conference.offer import CodecConfig, Extension, VideoCodec

        def get(name: str) -> Any:
            return self.__dict__["codec_" + name]
        parts: Dict[str, Any] = {
            codec: VideoCodec(pt=get("video_%s_pt" % codec), rtx_pt=get("video_%s_rtx_pt" % codec),
                              enabled=get("video_%s_enabled" % codec),
                              enable_remb=get("video_%s_enable_remb" % codec)) for codec in VIDEO_CODECS}
        parts.update((name, Extension(id=get("rtp_extensions_%s_id" % name),
                                      enabled=get("rtp_extensions_%s_enabled" % name))) for name in EXTENSIONS)
        return CodecConfig(
            opus_enabled=get("audio_opus_enabled"), opus_pt=get("audio_opus_pt"),
            opus_minptime=get("audio_opus_minptime"), opus_use_inband_fec=get("audio_opus_use_inband_fec"),
            red_enabled=get("audio_opus_red_enabled"), red_pt=get("audio_opus_red_pt"),
            telephone_event_enabled=get("audio_telephone_event_enabled"),
            telephone_event_pt=get("audio_telephone_event_pt"),
            extmap_allow_mixed=get("rtp_extensions_extmap_allow_mixed"), **parts)

    def source_of(self, name: str) -> str:
        """Where the value of an option came from: a flag, a variable, a line of the ini, or how it was made."""
        origin: Origin = self._origins[name]
        return origin.text

    def shown(self, name: str) -> str:
        """The value of an option as the ini would have it; a secret is masked, what isn't set is empty."""
        return _SHOW[name](self.__dict__[name])

    def changed(self) -> List[str]:
        """A line for every option that somebody set, for the log: ``name = value (where it came from)``."""
        return ["%s = %s (%s)" % (option.name, self.shown(option.name), self._origins[option.name])
                for option in OPTIONS if self._origins[option.name].given]

    _origins: Dict[str, Origin]


def _show_with(option: Option) -> Callable[[Any], str]:
    return lambda value: shown(option.kind, value)


_SHOW: Dict[str, Callable[[Any], str]] = {option.name: _show_with(option) for option in OPTIONS}
