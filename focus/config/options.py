"""The one table of options. The reader, ``conf/jicofo.ini``, the reference page and ``jicofo check`` come from it.

An option's *name* is its attribute of ``Config``, its flag (``--name``) and its variable (``JICOFO_NAME``). Section and
key of the ini are the group and the last words of the setting's path in the reference implementation's ``jicofo.conf``
(operation.md section 3), so that a setting is found again; ``reference`` is that path and ``legacy`` the property of
older files. They are not read, they help to name the right option when someone uses the old name.
"""
from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from focus.config import kinds
from focus.config.kinds import Kind, decimal, duration, number

LOG_LEVELS = ("SEVERE", "WARNING", "INFO", "FINE", "FINER")
_LOG_ALIASES = (("error", "SEVERE"), ("warn", "WARNING"), ("debug", "FINE"), ("trace", "FINER"))


class Option(NamedTuple):
    """A row of the table."""

    name: str
    kind: Kind
    default: Optional[str]
    """As it would stand in the ini; None: not set, or derived."""
    derived: str
    """How the default is made from other options, for people; empty if it isn't."""
    section: str
    key: str
    variable: str
    flag: str
    reference: str
    legacy: str
    meaning: str

    @property
    def flags(self) -> Tuple[str, ...]:
        """Every flag that sets the option, without the hyphens."""
        return (self.flag,) if self.flag == self.name else (self.flag, self.name)


def _row(name: str, kind: Kind, default: Optional[str], place: str, meaning: str, *, derived: str = "",
         variable: str = "", flag: str = "", reference: str = "", legacy: str = "") -> Option:
    section, key = place.split(".")
    return Option(name, kind, default, derived, section, key, variable or "JICOFO_" + name.upper(), flag or name,
                  reference, legacy, meaning)


_XMPP = (
    _row("domain", kinds.DOMAIN, None, "xmpp.xmpp_domain",
         "The main XMPP domain, under which the web clients log in. Every other name is made from it.",
         derived="the host, if one is given; otherwise required", reference="xmpp.client.xmpp-domain",
         legacy="org.jitsi.jicofo.XMPP_DOMAIN"),
    _row("host", kinds.HOST, None, "xmpp.hostname",
         "Where the XMPP server is: the TCP target of the connections.",
         derived="<domain>, if that is given, otherwise localhost", reference="xmpp.client.hostname",
         legacy="org.jitsi.jicofo.HOSTNAME"),
    _row("client_port", kinds.PORT, "5222", "xmpp.port", "The server's port for users (c2s).",
         reference="xmpp.client.port", legacy="org.jitsi.jicofo.XMPP_PORT"),
    _row("use_srv", kinds.SWITCH, "false", "xmpp.use_srv",
         "Look the server up by the SRV records of the account's domain; host and port are used if there are none. "
         "Needs the extra 'srv' (dnspython)."),
    _row("user_domain", kinds.DOMAIN, None, "xmpp.domain",
         "The domain of the focus's account. The server's certificate must bear it.",
         derived="the domain in user_name, or auth.<domain>", reference="xmpp.client.domain",
         legacy="org.jitsi.jicofo.FOCUS_USER_DOMAIN"),
    _row("user_name", kinds.ACCOUNT, "focus", "xmpp.username",
         "The focus's account; a name without '@' is one of user_domain.", reference="xmpp.client.username",
         legacy="org.jitsi.jicofo.FOCUS_USER_NAME"),
    _row("user_password", kinds.SECRET, None, "xmpp.password",
         "The account's password. Without one the focus logs in anonymously and is no administrator of the rooms.",
         variable="JICOFO_AUTH_PASSWORD", reference="xmpp.client.password",
         legacy="org.jitsi.jicofo.FOCUS_USER_PASSWORD"),
    _row("resource", kinds.RESOURCE, None, "xmpp.resource",
         "The resource of the session. Two running focuses must not share account and resource.",
         derived="the name part of user_name", reference="xmpp.client.resource"),
    _row("conference_muc", kinds.DOMAIN, None, "xmpp.conference_muc_jid",
         "The domain of the conference rooms. If it is set, rooms elsewhere are refused; if not, rooms on other "
         "subdomains of the main domain are served too.",
         derived="conference.<domain>", reference="xmpp.client.conference-muc-jid",
         legacy="org.jitsi.jicofo.XMPP_MUC_COMPONENT_PREFIX"),
    _row("client_proxy", kinds.DOMAIN, None, "xmpp.client_proxy",
         "The domain of Prosody's client_proxy component, if clients ask through one: usually focus.<domain>.",
         reference="xmpp.client.client-proxy"),
    _row("use_tls", kinds.SWITCH, "true", "xmpp.use_tls",
         "Require TLS (STARTTLS). A server on a loopback address may be spoken to in the clear all the same, with a "
         "warning; false never uses TLS.", reference="xmpp.client.use-tls"),
    _row("ca_file", kinds.PATH, None, "xmpp.ca_file",
         "A PEM file of the certificate authorities to trust instead of the system's."),
    _row("disable_certificate_verification", kinds.SWITCH, "false", "xmpp.disable_certificate_verification",
         "Accept any certificate: anyone between us and the server can read and change everything.",
         reference="xmpp.client.disable-certificate-verification",
         legacy="org.jitsi.jicofo.ALWAYS_TRUST_MODE_ENABLED"),
    _row("reply_timeout", duration(1, 300), "15 s", "xmpp.reply_timeout", "How long an answer may take.",
         reference="xmpp.client.reply-timeout"),
    _row("stanza_size_limit", kinds.size(10000, 100000000), "2 MB", "xmpp.stanza_size_limit",
         "A larger stanza is read to its end without being kept, and refused if it is a request."),
    _row("server_queue", number(10, 1000000, "stanzas"), "500", "xmpp.server_queue",
         "How many stanzas the server keeps for a cut stream (Prosody: smacks_max_queue_size). If more than half of "
         "that may be waiting, the focus takes precautions before it resumes."),
    _row("allow_sample_secrets", kinds.SWITCH, "false", "xmpp.allow_sample_secrets",
         "Accept passwords that stand in public examples (passw0rd, s3cr3t, changeme, ...). For laboratories only."),
)

_COMPONENT = (
    _row("component_secret", kinds.SECRET, None, "component.secret",
         "The secret of the component connection (XEP-0114). Without one no component is opened, and clients ask the "
         "focus's user alone.", variable="JICOFO_SECRET", flag="secret"),
    _row("component_host", kinds.HOST, None, "component.host", "Where the server takes component connections.",
         derived="<host>"),
    _row("component_port", kinds.PORT, "5347", "component.port", "The server's port for components.", flag="port"),
    _row("component_subdomain", kinds.LABEL, "focus", "component.subdomain",
         "The component is <subdomain>.<domain>.", flag="subdomain"),
)

_BRIDGE = (
    _row("brewery_jid", kinds.ROOM_OR_NONE, None, "bridge.brewery_jid",
         "The room in which the videobridges stand and publish their load; none if there is no such room and the "
         "bridges are found otherwise.",
         derived="jvbbrewery@internal.<user_domain>", reference="bridge.brewery-jid",
         legacy="org.jitsi.jicofo.BRIDGE_MUC"),
    _row("health_checks_enabled", kinds.SWITCH, "true", "bridge.health_checks_enabled",
         "Ask the bridges how they are: one that fails gets no new participants or is left at once.",
         reference="bridge.health-checks.enabled"),
    _row("health_checks_interval", duration(0.1, 3600), "10 s", "bridge.health_checks_interval",
         "The time between two checks of a bridge that carries no conferences.",
         reference="bridge.health-checks.interval", legacy="org.jitsi.jicofo.HEALTH_CHECK_INTERVAL"),
    _row("health_checks_retry_delay", duration(0, 3600), None, "bridge.health_checks_retry_delay",
         "A check that isn't answered within reply_timeout is repeated once, after this time; 0: it isn't repeated.",
         derived="half of health_checks_interval", reference="bridge.health-checks.retry-delay",
         legacy="org.jitsi.jicofo.HEALTH_CHECK_2NDTRY_DELAY"),
    _row("health_checks_silence", duration(0, 3600), "5 s", "bridge.health_checks_silence",
         "A bridge that carries conferences is asked three times in this time; if it answers nothing and publishes "
         "nothing new for so long, its conferences move to another. 0: silence moves nobody, as with the reference."),
    _row("health_checks_majority_wait", duration(0, 3600), "6 s", "bridge.health_checks_majority_wait",
         "So much longer is waited when more than half of the bridges that carry conferences are silent: then the "
         "network is more likely to be at fault than they."),
    _row("health_checks_use_presence", kinds.SWITCH, "false", "bridge.health_checks_use_presence",
         "Judge the bridges by what they publish (their statistic `healthy`, and whether they publish at all) instead "
         "of by their answers. health_checks_silence holds all the same.",
         reference="bridge.health-checks.use-presence"),
    _row("health_checks_presence_timeout", duration(1, 3600), "45 s", "bridge.health_checks_presence_timeout",
         "With health_checks_use_presence: a bridge without new statistics for this long gets no new participants.",
         reference="bridge.health-checks.presence-timeout"),
    _row("colibri", kinds.choice("auto", "1", "2"), "auto", "bridge.colibri",
         "The version of Colibri, the bridges' protocol: 2 for those of 2022 and later, 1 for earlier ones; with auto "
         "each bridge is asked."),
    _row("colibri1_bridges", kinds.NAMES, "", "bridge.colibri1_bridges",
         "Names (nicknames in the brewery, separated by commas) of bridges that speak Colibri 1, whatever colibri "
         "says."),
    _row("no_bridge_grace", duration(0, 3600), "30 s", "bridge.no_bridge_grace",
         "How long a conference waits for a bridge before the clients are told that there is none."),
    _row("max_requests_in_flight", number(0, 100000, "requests"), "50", "bridge.max_requests_in_flight",
         "A bridge that hasn't answered so many requests isn't asked for further endpoints until it has answered some "
         "of them, so that thousands who are invited at once don't make it answer too late; 0: no limit."),
    _row("topology_strategy",
         kinds.class_name("TopologyStrategy", "SingleMeshTopologyStrategy", "VisitorTopologyStrategy"),
         "SingleMeshTopologyStrategy", "bridge.topology_strategy",
         "How the bridges of one conference are linked: SingleMeshTopologyStrategy links each with each; "
         "VisitorTopologyStrategy does so with those of participants, and hangs each bridge of visitors on one other.",
         reference="bridge.topology-strategy"),
    _row("bridge_jids", kinds.DOMAINS, "", "bridge.bridge_jids",
         "Bridges that are components of the server, by their addresses. They are used without statistics, as bridges "
         "without load."),
    _row("service_rediscovery_interval", kinds.REPETITION, None, "bridge.service_rediscovery_interval",
         "How often the main domain's components are looked through for bridges; 0 is never, -1 once after each login. "
         "Whoever may be a component of the server can be a bridge then.",
         derived="0 if brewery_jid names a room, otherwise 30 s", reference="xmpp.rediscovery-interval",
         legacy="org.jitsi.jicofo.SERVICE_REDISCOVERY_INTERVAL"),
    _row("client_bridges", kinds.ADDRESSES, "", "bridge.client_bridges",
         "Bridges that a client may choose for a new conference, by the properties bridge and enforcedBridge of its "
         "request. Those that aren't known in another way serve only who asks for them. * is every known bridge. "
         "Empty: what clients say of bridges is ignored."),
)

_SELECTION = (
    _row("selection_strategy", kinds.STRATEGY, "single", "bridge.selection_strategy",
         "How a participant's bridge is chosen. single: a whole conference on one bridge, the first participant's "
         "region before load. region-based: near the participant, on a bridge with room. intra-region: all where the "
         "first one is. visitor: participants and visitors apart, by the two options that follow. split: each on "
         "another bridge, for tests. All but single use several bridges for one conference only with octo_enabled. "
         "The reference's names are understood too.",
         reference="bridge.selection-strategy",
         legacy="org.jitsi.jicofo.BridgeSelector.BRIDGE_SELECTION_STRATEGY"),
    _row("participant_selection_strategy", kinds.INNER_STRATEGY, None, "bridge.participant_selection_strategy",
         "With the strategy visitor, which needs it: how a participant's bridge is chosen.",
         reference="bridge.participant-selection-strategy"),
    _row("visitor_selection_strategy", kinds.INNER_STRATEGY, None, "bridge.visitor_selection_strategy",
         "With the strategy visitor, which needs it: how a visitor's bridge is chosen.",
         reference="bridge.visitor-selection-strategy"),
    _row("max_bridge_participants", number(-1, 100000, "people"), "80", "bridge.max_bridge_participants",
         "From how many participants of one conference on a bridge on another bridge is preferred for the next; 0 "
         "and -1: however many. Nobody is refused for it.",
         reference="bridge.max-bridge-participants",
         legacy="org.jitsi.jicofo.BridgeSelector.MAX_PARTICIPANTS_PER_BRIDGE"),
    _row("max_bridge_participants_per_interval", number(-1, 100000, "people"), "-1",
         "bridge.max_bridge_participants_per_interval",
         "From how many new participants of one conference on a bridge within the interval on another bridge is "
         "preferred for the next; 0 and -1: however many.",
         reference="bridge.max-bridge-participants-per-interval"),
    _row("max_bridge_participants_interval", duration(0.1, 3600), "1 min", "bridge.max_bridge_participants_interval",
         "The time to which max_bridge_participants_per_interval refers.",
         reference="bridge.max-bridge-participants-interval"),
    _row("spread_conferences", kinds.SWITCH, "false", "bridge.spread_conferences",
         "Begin a new conference on the bridge with the fewest of them, among those that aren't overloaded, instead of "
         "the one with the least stress: for many rooms that begin small at about the same time, as in schools."),
    _row("average_participant_stress", decimal(0, 10), "0.01", "bridge.average_participant_stress",
         "The stress that one more participant will add to a bridge which doesn't say so itself.",
         reference="bridge.average-participant-stress"),
    _row("participant_rampup_interval", duration(0.1, 3600), "20 s", "bridge.participant_rampup_interval",
         "For how long a new participant counts as stress to come.",
         reference="bridge.participant-rampup-interval"),
    _row("stress_threshold", decimal(0.001, 100), "0.8", "bridge.stress_threshold",
         "The stress from which on a bridge is overloaded: others are preferred.",
         reference="bridge.stress-threshold"),
    _row("failure_reset_threshold", duration(0.1, 86400), "1 min", "bridge.failure_reset_threshold",
         "How long a bridge that failed isn't used, at least.",
         reference="bridge.failure-reset-threshold",
         legacy="org.jitsi.focus.BRIDGE_FAILURE_RESET_THRESHOLD"),
    _row("region_groups", kinds.REGION_GROUPS, "", "bridge.region_groups",
         "Regions that are near each other: [us-east us-west] [eu-central eu-west]. A bridge in a region of the same "
         "group is the next best to one in the participant's region.",
         reference="bridge.region-groups"),
    _row("local_region", kinds.REGION, None, "bridge.local_region",
         "The focus's own region: what region-based looks for if the participant has no region, or there is no "
         "bridge near it.",
         reference="local-region", legacy="org.jitsi.jicofo.BridgeSelector.LOCAL_REGION"),
    _row("ice_failure_detection_enabled", kinds.SWITCH, "false", "bridge.ice_failure_detection_enabled",
         "Take a bridge for overloaded when many of its endpoints ask for a new session.",
         reference="bridge.ice-failure-detection.enabled"),
    _row("ice_failure_detection_interval", duration(1, 86400), "2 min", "bridge.ice_failure_detection_interval",
         "The time in which these requests are counted.",
         reference="bridge.ice-failure-detection.interval"),
    _row("ice_failure_detection_min_endpoints", number(0, 100000, "endpoints"), "30",
         "bridge.ice_failure_detection_min_endpoints",
         "A bridge with fewer endpoints isn't judged by them.",
         reference="bridge.ice-failure-detection.min-endpoints"),
    _row("ice_failure_detection_threshold", decimal(0, 1000), "0.1", "bridge.ice_failure_detection_threshold",
         "How many requests for each of its endpoints are too many.",
         reference="bridge.ice-failure-detection.threshold"),
    _row("ice_failure_detection_timeout", duration(1, 86400), "10 min", "bridge.ice_failure_detection_timeout",
         "For how long that holds after the last request with which there were too many.",
         reference="bridge.ice-failure-detection.timeout"),
    _row("load_redistribution_enabled", kinds.SWITCH, "false", "bridge.load_redistribution_enabled",
         "Move endpoints away from a bridge with too much stress, if another one isn't overloaded. Where a conference "
         "can't use several bridges, whole conferences move.",
         reference="bridge.load-redistribution.enabled"),
    _row("load_redistribution_interval", duration(1, 86400), "1 min", "bridge.load_redistribution_interval",
         "The time between two looks at the bridges.", reference="bridge.load-redistribution.interval"),
    _row("load_redistribution_stress_threshold", decimal(0.001, 100), "0.9",
         "bridge.load_redistribution_stress_threshold",
         "The stress from which on endpoints are moved away; it has to be above stress_threshold.",
         reference="bridge.load-redistribution.stress-threshold"),
    _row("load_redistribution_timeout", duration(1, 86400), "3 min", "bridge.load_redistribution_timeout",
         "For how long a bridge that gave endpoints away is left alone.",
         reference="bridge.load-redistribution.timeout"),
    _row("load_redistribution_endpoints", number(1, 100000, "endpoints"), "10", "bridge.load_redistribution_endpoints",
         "How many endpoints are moved away from a bridge at a time.",
         reference="bridge.load-redistribution.endpoints"),
)

_OCTO = (
    _row("octo_enabled", kinds.SWITCH, "false", "octo.enabled",
         "Let a conference use several bridges, which pass its media to each other. Each needs relays switched on and "
         "a relay id of its own.",
         reference="octo.enabled"),
    _row("octo_allow_mixed_versions", kinds.SWITCH, "false", "octo.allow_mixed_versions",
         "Also let bridges of different versions share a conference. Without it a conference stays with the version "
         "it began with as long as there is a bridge of it, and moves to the newest one as a whole then.",
         reference="octo.allow-mixed-versions"),
    _row("octo_sctp_datachannels", kinds.SWITCH, None, "octo.sctp_datachannels",
         "Let the bridges of a conference talk to each other by data channel (SCTP) instead of web socket; if one of "
         "two refuses it, their link is made again without.",
         derived="sctp_enabled", reference="octo.sctp-datachannels"),
)

_PUBSUB = (
    _row("pubsub_address", kinds.DOMAIN, None, "pubsub.address",
         "The service by which bridges publish their statistics (XEP-0060). Nobody else's events count.",
         legacy="org.jitsi.focus.pubsub.ADDRESS"),
    _row("pubsub_bridge_nodes", kinds.NODES, "", "pubsub.bridge_nodes",
         "Bridges with the node by which each publishes: jvb1.meet.example:node1; jvb2.meet.example:node2.",
         legacy="org.jitsi.focus.BRIDGE_PUBSUB_MAPPING"),
    _row("pubsub_stats_node", kinds.NODE, None, "pubsub.stats_node",
         "The node by which all bridges publish, each with its address as the item's id. A bridge that isn't known is "
         "asked whether it is one.", legacy="org.jitsi.jicofo.STATS_PUBSUB_NODE"),
    _row("max_stats_report_age", duration(1, 3600), "15 s", "pubsub.max_stats_report_age",
         "A bridge that has published nothing new for this long is taken to be offline.",
         legacy="org.jitsi.jicofo.MAX_STATS_REPORT_AGE"),
    _row("pubsub_retry_interval", duration(1, 3600), "15 s", "pubsub.retry_interval",
         "The time until a subscription that failed is tried again.",
         legacy="org.jitsi.focus.pubsub.RETRY_INTERVAL"),
)

_CONFERENCE = (
    _row("initial_timeout", duration(0.1, 86400), "15 s", "conference.initial_timeout",
         "How long a new conference waits for its first participant.", reference="conference.initial-timeout",
         legacy="org.jitsi.focus.IDLE_TIMEOUT"),
    _row("single_participant_timeout", duration(0.1, 86400), "20 s", "conference.single_participant_timeout",
         "How long the media session of someone who stayed alone is kept.",
         reference="conference.single-participant-timeout", legacy="org.jitsi.jicofo.SINGLE_PARTICIPANT_TIMEOUT"),
    _row("min_participants", number(1, 1000, "people"), "2", "conference.min_participants",
         "From how many people in the room on they are invited to a media session.",
         reference="conference.min-participants"),
    _row("enable_auto_owner", kinds.SWITCH, "true", "conference.enable_auto_owner",
         "Make the first participant an owner of the room, and another one when the last owner has left.",
         reference="conference.enable-auto-owner", legacy="org.jitsi.jicofo.DISABLE_AUTO_OWNER (inverted)"),
    _row("max_ssrcs_per_user", number(1, 1000, "sources"), "20", "conference.max_ssrcs_per_user",
         "How many sources (SSRCs) one participant may send.",
         reference="conference.max-ssrcs-per-user", legacy="org.jitsi.jicofo.MAX_SSRC_PER_USER"),
    _row("max_ssrc_groups_per_user", number(1, 1000, "groups"), None, "conference.max_ssrc_groups_per_user",
         "How many groups of sources one participant may have.", derived="max_ssrcs_per_user",
         reference="conference.max-ssrc-groups-per-user"),
    _row("max_audio_senders", number(0, 999999, "people"), "999999", "conference.max_audio_senders",
         "How many participants may send audio at a time.", reference="conference.max-audio-senders"),
    _row("max_video_senders", number(0, 999999, "people"), "999999", "conference.max_video_senders",
         "How many participants may send video at a time.", reference="conference.max-video-senders"),
    _row("strip_simulcast", kinds.SWITCH, "true", "conference.strip_simulcast",
         "Tell receivers of the first layer of a simulcast source only: the bridge sends them one.",
         reference="conference.strip-simulcast"),
    _row("use_json_encoded_sources", kinds.SWITCH, "true", "conference.use_json_encoded_sources",
         "Send sources in the compact form to clients that can read it.",
         reference="conference.use-json-encoded-sources"),
    _row("use_ssrc_rewriting", kinds.SWITCH, "true", "conference.use_ssrc_rewriting",
         "Let the bridge rewrite SSRCs for clients that can do so: they aren't told each other's sources.",
         reference="conference.use-ssrc-rewriting"),
    _row("use_rtp_mid_demux", kinds.SWITCH, "true", "conference.use_rtp_mid_demux",
         "With SSRC rewriting: let the bridge mark packets with the media line they belong to.",
         reference="conference.use-rtp-mid-demux"),
    _row("source_signaling_delays", kinds.DELAYS, "", "conference.source_signaling_delays",
         "Delays by which changes of sources are gathered, by size of the conference: 50: 500 ms, 100: 1 s holds "
         "500 ms from 50 people on and 1 s from 100 on.", reference="conference.source-signaling-delays"),
    _row("enable_ice_restart", kinds.SWITCH, "true", "conference.enable_ice_restart",
         "Let clients restart ICE within their session; if not, or if the bridge can't, they get a new session.",
         reference="conference.enable-ice-restart"),
    _row("check_source_names", kinds.SWITCH, "true", "conference.check_source_names",
         "Refuse sources whose name doesn't begin with the sender's own id. Off lets participants name sources as if "
         "they were others'."),
    _row("reinvite_method", kinds.choice("RestartJingle", "ReplaceTransport"), "RestartJingle",
         "conference.reinvite_method",
         "How a participant moves to another bridge: RestartJingle ends its session and begins a new one; "
         "ReplaceTransport keeps the session, which web clients since October 2024 don't understand: they lose their "
         "media by it.", reference="conference.reinvite-method"),
    _row("restart_min_interval", duration(0, 3600), "5 s", "conference.restart_request_rate_limits_min_interval",
         "The shortest time between two restarts that a participant asks for.",
         reference="conference.restart-request-rate-limits.min-interval"),
    _row("restart_max_requests", number(0, 1000, "restarts"), "5",
         "conference.restart_request_rate_limits_max_requests",
         "How many restarts a participant may ask for in restart_interval.",
         reference="conference.restart-request-rate-limits.max-requests"),
    _row("restart_interval", duration(1, 86400), "1 min", "conference.restart_request_rate_limits_interval",
         "The time to which restart_max_requests refers.",
         reference="conference.restart-request-rate-limits.interval"),
    _row("shared_document_use_random_name", kinds.SWITCH, "false", "conference.shared_document_use_random_name",
         "Give the shared document a name that can't be guessed instead of the room's name.",
         reference="conference.shared-document.use-random-name"),
    _row("sctp_enabled", kinds.SWITCH, "true", "sctp.enabled",
         "Offer a data channel (SCTP) to clients that can do it; a bridge that refuses it is asked again without.",
         reference="sctp.enabled"),
)

_VISITORS = (
    _row("visitors_enabled", kinds.SWITCH, "false", "visitors.enabled",
         "Give media to members that the room has made visitors: they receive everything and may send nothing.",
         reference="visitors.enabled"),
)

_JOURNAL = (
    _row("journal_file", kinds.PATH, None, "journal.file",
         "Where is kept what a later process needs to go on with the calls of this one. The folder must exist and be "
         "writable; none: nothing is kept, and every restart ends the calls.",
         derived="/var/lib/jicofo/journal.db, if that folder is there"),
    _row("standby", kinds.SWITCH, "false", "journal.standby",
         "If another process serves with this journal: wait, and take over when it ends. Otherwise that ends this one "
         "with status 3."),
)

_LOG = (
    _row("log_level", kinds.choice(*LOG_LEVELS, aliases=_LOG_ALIASES), "INFO", "log.level",
         "What is logged: this level and those before it."),
    _row("log_file", kinds.PATH, None, "log.file",
         "The file the log goes to, instead of standard error. It is opened for appending, and again on SIGHUP."),
)

#: Codec -> default payload type and that of its retransmissions (J section 3.3).
_VIDEO_CODECS = (("av1", "41", "42"), ("vp8", "100", "96"), ("vp9", "101", "97"), ("h264", "107", "99"))

#: Header extension -> default id, default switch (J section 12).
_EXTENSIONS = (
    ("audio_level", "1", "true"), ("tof", "2", "false"), ("abs_send_time", "3", "true"), ("rid", "4", "false"),
    ("tcc", "5", "true"), ("video_content_type", "7", "false"), ("framemarking", "9", "false"), ("mid", "10", "true"),
    ("av1_dependency_descriptor", "11", "true"), ("video_layers_allocation", "12", "false"))

_PAYLOAD_TYPE = number(-1, 127)._replace(label="payload type, 1 to 127; -1 is off")
_EXTENSION_ID = number(-1, 255)._replace(label="id, 1 to 255; -1 is off")


def _codec_row(key: str, kind: Kind, default: str, meaning: str, legacy: str = "") -> Option:
    return _row("codec_" + key, kind, default, "codec." + key, meaning,
                legacy="org.jitsi.jicofo." + legacy if legacy else "")


def _codec_rows() -> List[Option]:
    rows = []
    for codec, pt, rtx in _VIDEO_CODECS:
        name = codec.upper()
        rows += [
            _codec_row("video_%s_enabled" % codec, kinds.SWITCH, "true", "Offer %s." % name, "ENABLE_" + name),
            _codec_row("video_%s_pt" % codec, _PAYLOAD_TYPE, pt, "The payload type of %s." % name,
                       name + "_PT"),
            _codec_row("video_%s_rtx_pt" % codec, _PAYLOAD_TYPE, rtx,
                       "The payload type of retransmissions of %s." % name, name + "_RTX_PT"),
            _codec_row("video_%s_enable_remb" % codec, kinds.SWITCH, "true",
                       "Offer bandwidth estimates (goog-remb) with %s." % name)]
    rows += [
        _codec_row("audio_opus_enabled", kinds.SWITCH, "true", "Offer Opus."),
        _codec_row("audio_opus_pt", _PAYLOAD_TYPE, "111", "The payload type of Opus."),
        _codec_row("audio_opus_minptime", number(0, 120, "milliseconds"), "10",
                   "The shortest packet of Opus; 0 leaves the parameter out."),
        _codec_row("audio_opus_use_inband_fec", kinds.SWITCH, "true", "Ask for Opus's own error correction."),
        _codec_row("audio_opus_red_enabled", kinds.SWITCH, "false", "Offer redundant audio (RED) to clients that can."),
        _codec_row("audio_opus_red_pt", _PAYLOAD_TYPE, "112", "The payload type of RED."),
        _codec_row("audio_telephone_event_enabled", kinds.SWITCH, "true", "Offer telephone events (DTMF)."),
        _codec_row("audio_telephone_event_pt", _PAYLOAD_TYPE, "126", "The payload type of telephone events.")]
    for extension, number_, enabled in _EXTENSIONS:
        name = extension.replace("_", "-")
        rows += [
            _codec_row("rtp_extensions_%s_enabled" % extension, kinds.SWITCH, enabled,
                       "Offer the header extension %s." % name),
            _codec_row("rtp_extensions_%s_id" % extension, _EXTENSION_ID, number_,
                       "The id of the header extension %s." % name)]
    rows.append(_codec_row("rtp_extensions_extmap_allow_mixed", kinds.SWITCH, "true",
                           "Allow one-byte and two-byte header extensions in one stream."))
    return rows


VIDEO_CODECS = tuple(row[0] for row in _VIDEO_CODECS)
EXTENSIONS = tuple(row[0] for row in _EXTENSIONS)

#: Every option, in the order of the ini. An option that is derived from another one stands behind it.
OPTIONS: Tuple[Option, ...] = (
    _XMPP + _COMPONENT + _BRIDGE + _SELECTION + _PUBSUB + _OCTO + _CONFERENCE + _VISITORS + _JOURNAL + _LOG
    + tuple(_codec_rows()))

BY_NAME = {option.name: option for option in OPTIONS}

#: Section of the ini -> what it is about.
SECTIONS = {
    "xmpp": "The connection to the XMPP server as a user, and the names of things there.",
    "component": "The connection as a component (XEP-0114), for installations whose clients ask focus.<domain> and "
                 "whose server has no client_proxy module.",
    "bridge": "The videobridges.",
    "octo": "Several bridges for one conference.",
    "pubsub": "Bridges that publish their statistics by publish-subscribe, as older installations have them.",
    "conference": "What holds for every conference.",
    "sctp": "Data channels.",
    "visitors": "Members who only watch and listen.",
    "journal": "What makes a call outlive the process.",
    "log": "The log.",
    "codec": "What is offered to the participants. The numbers are those of the reference implementation; change them "
             "only for a client that needs it.",
}
