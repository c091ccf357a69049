-- What Prosody (0.12 or newer) needs for the focus, with its stock modules alone. Put this into /etc/prosody/conf.d/ and
-- write your domain for meet.example everywhere; `jicofo config --explain --domain=YOURS` prints the names that follow
-- from it. Jitsi's own modules (token authentication, lobby, breakout rooms, ...) go with it, but aren't needed.
--
-- Accounts:      prosodyctl register focus auth.meet.example RANDOM     -> JICOFO_AUTH_PASSWORD
--                prosodyctl register jvb   auth.meet.example RANDOM     -> the bridges
-- Certificates:  meet.example and auth.meet.example; the focus checks the one of auth.meet.example.
--
-- Four things belong to the global part of the configuration, before the first VirtualHost:
--
--   modules_enabled: add "smacks" (lost connections are resumed, and calls outlive the focus), "bosh" and "websocket"
--   (the web clients)
--   plugin_paths: add the folder modules beside this file: it holds smacks_resume_fix, without which Prosody 0.12 can't
--   resume a stream that broke in the middle of a stanza (and the rooms see the focus leave)
--   gc = { mode = "generational" }: a burst of joins costs the server less than half of the CPU
--   modules_disabled or the list of enabled ones: leave "limits" out, or the focus is slowed down to 10 kB/s

-- The focus owns every room as an administrator.
admins = { "focus@auth.meet.example", "jvb@auth.meet.example" }

-- Everybody else comes over TLS. Web clients come by a web server that ends TLS, hence the two that follow.
c2s_require_encryption = true
consider_bosh_secure = true
consider_websocket_secure = true

-- How long a lost connection may be resumed (in seconds; 600 is Prosody's default, Jitsi's template has 15), and how many
-- stanzas may wait for it (Prosody's default is 500). A focus that ended, for whatever reason, goes on with its calls if it
-- is back within both; otherwise the rooms see it leave and web clients reload. Write the second number into the focus's
-- configuration too: server_queue = 10000 in [xmpp].
smacks_hibernation_time = 600
smacks_max_queue_size = 10000

VirtualHost "meet.example"
    authentication = "anonymous"

VirtualHost "auth.meet.example"
    authentication = "internal_hashed"
    modules_enabled = { "smacks_resume_fix" }

-- The rooms. Only administrators open them: a client that came before the focus would own the room.
Component "conference.meet.example" "muc"
    restrict_room_creation = true
    muc_room_locking = false
    muc_room_default_public_jids = true
    muc_room_allow_persistent = false
    muc_tombstones = false
    muc_room_cache_size = 10000
    storage = "memory"

-- Where the bridges stand. Whoever may come in and publishes statistics is taken for a bridge, so nobody may but the
-- administrators named above: each bridge's account has to be one of them.
Component "internal.auth.meet.example" "muc"
    restrict_room_creation = true
    muc_room_default_members_only = true
    muc_room_locking = false
    muc_room_default_public_jids = true
    storage = "memory"

-- Web clients ask focus.meet.example for a conference. Either the focus opens that address itself, as a component:
-- then its secret goes here and into JICOFO_SECRET. A line that still says "put-a-random-one-here" is refused.
Component "focus.meet.example"
    component_secret = "put-a-random-one-here"

-- Or, where Jitsi's modules are installed, Prosody passes on what is asked there to the focus's account; the focus then
-- has no secret but client_proxy = focus.meet.example.
--
-- Component "focus.meet.example" "client_proxy"
--     target_address = "focus@auth.meet.example"
