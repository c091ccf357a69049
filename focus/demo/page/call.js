'use strict';

// The meeting itself: connects, joins, keeps count of who sends what. The screen (screen.js) and the tests look at
// window.demo; every change of it is announced by a 'changed' event on the document.
//
// Query: room, name, audio=0, video=0 (don't use that device), height (of the camera's picture), simulcast=1 (send three
// sizes of it; the small bridge passes on the smallest only), picture=canvas (share a drawn picture instead of asking for
// a screen), join=0 (wait for the button), patience (seconds that the focus has to answer, 10).

(() => {
    const demo = window.demo;
    const { events, errors } = JitsiMeetJS;
    const query = new URLSearchParams(location.search);
    const now = () => performance.timeOrigin + performance.now();
    const wanted = device => query.get(device) !== '0';

    Object.assign(demo, {
        room: (query.get('room') || 'demo').toLowerCase(),
        name: query.get('name') || 'Guest',
        phase: 'starting', // starting, connecting, joining, joined, left, failed
        failure: null, // why, once the phase is failed
        myId: null,
        participants: {}, // id -> { name, tracks: { audio: track, video: track } }
        local: { audio: null, camera: null, desktop: null }, // tracks, null while there is none
        dominant: null,
        bridgeChannel: false,
        firstFrame: {} // id -> ms of the first decoded picture
    });

    let settings;
    let connection = null;
    let conference = null;

    function changed(what, details = {}) {
        demo.events.push(Object.assign({ ms: now(), what }, details));
        document.dispatchEvent(new CustomEvent('changed', { detail: what }));
    }

    function enter(phase, details) {
        demo.phase = phase;
        changed(phase, details);
    }

    function fail(reason) {
        demo.failure = reason;
        enter('failed', { reason });
    }

    // --- who is there, and what they send

    function participant(id) {
        return demo.participants[id] || (demo.participants[id] = { name: '', tracks: {} });
    }

    function onTrackAdded(track) {
        if (track.isLocal()) {
            return;
        }
        const id = track.getParticipantId();
        participant(id).tracks[track.getType()] = track;
        changed('track added', { id, kind: track.getType(), ssrc: track.getSSRC() });
    }

    function onTrackRemoved(track) {
        if (track.isLocal()) {
            return;
        }
        const id = track.getParticipantId();
        const known = demo.participants[id];
        if (known && known.tracks[track.getType()] === track) {
            delete known.tracks[track.getType()];
        }
        changed('track removed', { id, kind: track.getType() });
    }

    function onMuteChanged(track) {
        changed(track.isMuted() ? 'muted' : 'unmuted', {
            id: track.isLocal() ? demo.myId : track.getParticipantId(),
            kind: track.getType()
        });
    }

    function listen(toConference) {
        const on = (event, handler) => toConference.on(event, handler);
        const { conference: names } = events;
        on(names.CONFERENCE_JOINED, () => {
            demo.myId = conference.myUserId();
            enter('joined', { id: demo.myId });
        });
        on(names.CONFERENCE_FAILED, reason => {
            // The focus left and comes again, or the client asks again by itself: the conference goes on.
            if (reason === errors.conference.FOCUS_DISCONNECTED) {
                changed('focus disconnected');
            } else {
                fail(String(reason));
            }
        });
        on(names.CONFERENCE_ERROR, reason => changed('error', { reason: String(reason) }));
        on(names.KICKED, () => fail('removed from the room'));
        on(names.USER_JOINED, (id, user) => {
            participant(id).name = user.getDisplayName() || '';
            changed('participant joined', { id });
        });
        on(names.USER_LEFT, id => {
            delete demo.participants[id];
            delete demo.firstFrame[id];
            changed('participant left', { id });
        });
        on(names.DISPLAY_NAME_CHANGED, (id, name) => {
            participant(id).name = name || '';
            changed('name', { id });
        });
        on(names.DOMINANT_SPEAKER_CHANGED, id => {
            demo.dominant = id;
            changed('speaker', { id });
        });
        on(names.TRACK_ADDED, onTrackAdded);
        on(names.TRACK_REMOVED, onTrackRemoved);
        on(names.TRACK_MUTE_CHANGED, onMuteChanged);
        on(names.DATA_CHANNEL_OPENED, () => {
            demo.bridgeChannel = true;
            changed('bridge channel open');
        });
        on(names._MEDIA_SESSION_STARTED, session => watchTransport(session));
        on(names.CONNECTION_INTERRUPTED, () => changed('media interrupted'));
        on(names.CONNECTION_RESTORED, () => changed('media restored'));
    }

    function watchTransport(session) {
        const pc = session.peerconnection.peerconnection;
        const note = () => {
            if (pc.iceConnectionState === 'connected' || pc.iceConnectionState === 'completed') {
                pc.removeEventListener('iceconnectionstatechange', note);
                changed('ICE connected');
            }
        };
        pc.addEventListener('iceconnectionstatechange', note);
        note();
        pc.addEventListener('connectionstatechange', () => changed(`peer connection ${pc.connectionState}`));
    }

    // --- our own tracks

    // Without a camera or a microphone (or when they are refused) a person still joins, with what there is.
    async function openDevices() {
        const wishes = [ 'audio', 'video' ].filter(wanted);
        const height = Number(query.get('height')) || 720;
        const constraints = { video: { height: { ideal: height, max: height }, width: { ideal: height * 16 / 9 } } };
        const open = devices => JitsiMeetJS.createLocalTracks({ devices, constraints });
        try {
            return wishes.length ? await open(wishes) : [];
        } catch (error) {
            const found = await Promise.all(wishes.map(device => open([ device ]).catch(() => [])));
            changed('device missing', { reason: error.message });
            return found.flat();
        }
    }

    async function openLocalTracks() {
        for (const track of await openDevices()) {
            demo.local[track.getType() === 'audio' ? 'audio' : 'camera'] = track;
        }
        changed('devices open');
    }

    async function closeLocalTracks() {
        const open = Object.values(demo.local).filter(Boolean);
        demo.local = { audio: null, camera: null, desktop: null };
        await Promise.all(open.map(track => track.dispose()));
    }

    // A moving picture instead of a screen, for browsers that nobody sits at.
    function drawnPicture() {
        const canvas = document.createElement('canvas');
        canvas.width = 640;
        canvas.height = 360;
        const context = canvas.getContext('2d');
        let step = 0;
        const timer = setInterval(() => {
            step += 1;
            context.fillStyle = `hsl(${step % 360}, 60%, 35%)`;
            context.fillRect(0, 0, canvas.width, canvas.height);
            context.fillStyle = '#fff';
            context.font = '48px sans-serif';
            context.fillText(`shared picture ${step}`, 60, 190);
        }, 100);
        const stream = canvas.captureStream(10);
        stream.getVideoTracks()[0].addEventListener('ended', () => clearInterval(timer));
        return stream;
    }

    async function openScreen() {
        if (query.get('picture') === 'canvas') {
            navigator.mediaDevices.getDisplayMedia = async () => drawnPicture();
        }
        const [ track ] = await JitsiMeetJS.createLocalTracks({ devices: [ 'desktop' ] });
        track.addEventListener(events.track.LOCAL_TRACK_STOPPED, () => demo.local.desktop === track && demo.unshare());
        return track;
    }

    // Resolves when a Jingle request of that action has been answered with a result by the focus.
    function answered(action, limit = 1000 * (Number(query.get('patience')) || 10)) {
        const begin = demo.wire.length ? demo.wire[demo.wire.length - 1].ms : 0;
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => finish(reject, new Error(`${action} was not answered`)), limit);
            const finish = (how, value) => {
                clearTimeout(timer);
                document.removeEventListener('wire', look);
                how(value);
            };
            const look = () => {
                const late = demo.wire.filter(entry => entry.ms > begin);
                const request = late.find(entry => entry.direction === 'out' && entry.what === action);
                const answer = request && late.find(entry => entry.direction === 'in' && entry.id === request.id);
                if (answer) {
                    finish(answer.what.includes('error') ? reject : resolve, new Error(`${action}: ${answer.xml}`));
                }
            };
            document.addEventListener('wire', look);
        });
    }

    // --- what a person, or a test, can do

    demo.join = async () => {
        demo.failure = null;
        enter('connecting');
        if (!Object.values(demo.local).some(Boolean)) {
            await openLocalTracks();
        }
        connection = new JitsiMeetJS.JitsiConnection(null, null, {
            hosts: settings.hosts,
            serviceUrl: settings.serviceUrl,
            enableWebsocketResume: true,
            p2p: { enabled: false }
        });
        const { connection: names } = events;
        connection.addEventListener(names.CONNECTION_FAILED, (reason, text) => fail(text || String(reason)));
        connection.addEventListener(names.CONNECTION_DISCONNECTED, () => changed('disconnected'));
        connection.addEventListener(names.CONNECTION_ESTABLISHED, () => enterRoom());
        connection.connect();
    };

    function enterRoom() {
        enter('joining');
        conference = connection.initJitsiConference(demo.room, {
            p2p: { enabled: false },
            disableSimulcast: query.get('simulcast') !== '1',
            openBridgeChannel: 'websocket',
            startSilent: false
        });
        demo.conference = conference;
        listen(conference);
        conference.setDisplayName(demo.name);
        for (const track of Object.values(demo.local).filter(Boolean)) {
            conference.addTrack(track);
        }
        conference.setReceiverConstraints({ lastN: -1, defaultConstraints: { maxHeight: 720 } });
        conference.join();
    }

    demo.leave = async () => {
        if (conference) {
            await conference.leave().catch(error => changed('error', { reason: String(error) }));
        }
        if (connection) {
            await connection.disconnect();
        }
        await closeLocalTracks();
        conference = connection = demo.conference = null;
        demo.participants = {};
        demo.firstFrame = {};
        demo.myId = null;
        demo.bridgeChannel = false;
        enter('left');
    };

    demo.setMuted = async (kind, muted) => {
        const track = kind === 'audio' ? demo.local.audio : demo.local.desktop || demo.local.camera;
        await (muted ? track.mute() : track.unmute());
    };

    // The client of 2022 sends at most one video source. So a participant with a camera exchanges it for the screen: the
    // camera's source is removed and the screen's added, each with a request of its own (source-remove, source-add).
    // A participant without a camera adds the screen as second source beside the microphone's.
    demo.share = async () => {
        const desktop = await openScreen();
        await exchange(demo.local.camera, desktop);
        demo.local.desktop = desktop;
        changed('sharing');
    };

    demo.unshare = async () => {
        const desktop = demo.local.desktop;
        demo.local.desktop = null;
        await exchange(desktop, demo.local.camera);
        await desktop.dispose();
        changed('not sharing');
    };

    async function exchange(oldTrack, newTrack) {
        if (oldTrack) {
            const removed = answered('source-remove');
            await conference.removeTrack(oldTrack);
            await removed;
        }
        if (newTrack) {
            const added = answered('source-add');
            await conference.addTrack(newTrack);
            await added;
        }
    }

    // What arrives from each participant: { id: { audio: {...}, video: {...} } }, counters of the browser.
    demo.figures = async () => {
        const session = conference && conference.jvbJingleSession;
        if (!session || !session.peerconnection) {
            return {};
        }
        const report = await session.peerconnection.peerconnection.getStats();
        const inbound = new Map();
        report.forEach(entry => entry.type === 'inbound-rtp' && inbound.set(entry.trackIdentifier, entry));
        const figures = {};
        for (const [ id, { tracks } ] of Object.entries(demo.participants)) {
            figures[id] = {};
            for (const [ kind, track ] of Object.entries(tracks)) {
                const entry = inbound.get(track.getTrack().id);
                if (entry) {
                    figures[id][kind] = { bytes: entry.bytesReceived, packets: entry.packetsReceived,
                        lost: entry.packetsLost, frames: entry.framesDecoded || 0, width: entry.frameWidth || 0,
                        height: entry.frameHeight || 0, energy: entry.totalAudioEnergy || 0, ssrc: entry.ssrc };
                }
            }
        }
        return figures;
    };

    demo.noteFirstFrame = id => {
        if (!(id in demo.firstFrame)) {
            demo.firstFrame[id] = now();
            changed('first frame', { id });
        }
    };

    // Everything a test or the demo wants to know, as plain values.
    demo.state = async () => ({
        phase: demo.phase,
        failure: demo.failure,
        myId: demo.myId,
        bridgeChannel: demo.bridgeChannel,
        dominant: demo.dominant,
        firstFrame: demo.firstFrame,
        participants: Object.fromEntries(Object.entries(demo.participants).map(([ id, { name, tracks } ]) => [ id, {
            name,
            tracks: Object.fromEntries(Object.entries(tracks).map(([ kind, track ]) => [ kind,
                { muted: track.isMuted(), videoType: track.videoType || null, ssrc: track.getSSRC() } ]))
        } ])),
        figures: await demo.figures()
    });

    async function begin() {
        settings = await (await fetch('settings.json')).json();
        JitsiMeetJS.setLogLevel(JitsiMeetJS.logLevels[query.get('log') || 'ERROR']);
        JitsiMeetJS.init({ disableThirdPartyRequests: true });
        if (query.get('join') !== '0') {
            await demo.join();
        }
    }

    window.addEventListener('pagehide', () => connection && connection.disconnect());
    begin().catch(error => fail(String(error)));
})();
