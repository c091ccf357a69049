'use strict';

// Draws window.demo: a tile per participant, the buttons, the list of what happened.

(() => {
    const demo = window.demo;
    const tiles = new Map(); // participant id ('own' for ourselves) -> { element, video, audio, name, figures }
    const byId = id => document.getElementById(id);
    const PHASES = { starting: 'starting', connecting: 'connecting', joining: 'asking for the conference',
        joined: 'in the meeting', left: 'left', failed: 'failed' };

    function makeTile(id) {
        const element = document.createElement('article');
        element.className = id === 'own' ? 'tile own' : 'tile';
        const video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true, muted: true });
        const audio = Object.assign(document.createElement('audio'), { autoplay: true });
        const name = Object.assign(document.createElement('span'), { className: 'name' });
        const figures = Object.assign(document.createElement('span'), { className: 'figures' });
        element.append(video, audio, name, figures);
        byId('tiles').append(element);
        const tile = { element, video, audio, name, figures, shown: {} };
        if (id !== 'own' && video.requestVideoFrameCallback) {
            video.requestVideoFrameCallback(() => demo.noteFirstFrame(id));
        }
        tiles.set(id, tile);
        return tile;
    }

    function show(tile, kind, track) {
        if (tile.shown[kind] === track) {
            return;
        }
        const element = kind === 'audio' ? tile.audio : tile.video;
        tile.shown[kind] = track;
        element.srcObject = track ? new MediaStream([ track.getTrack() ]) : null;
    }

    function drawTile(id, name, audio, video) {
        const tile = tiles.get(id) || makeTile(id);
        tile.name.textContent = name + (audio && audio.isMuted() ? ' (muted)' : '');
        show(tile, 'audio', id === 'own' ? null : audio);
        show(tile, 'video', video && video.getTrack() && !(id === 'own' && video.isMuted()) ? video : null);
        tile.element.classList.toggle('no-video', !video || video.isMuted());
        tile.element.classList.toggle('desktop', Boolean(video) && video.videoType === 'desktop');
        tile.element.classList.toggle('speaking', demo.dominant === (id === 'own' ? demo.myId : id));
    }

    function drawTiles() {
        drawTile('own', `${demo.name} (you)`, demo.local.audio, demo.local.desktop || demo.local.camera);
        for (const [ id, { name, tracks } ] of Object.entries(demo.participants)) {
            drawTile(id, name || id, tracks.audio, tracks.video);
        }
        for (const [ id, tile ] of tiles) {
            if (id !== 'own' && !demo.participants[id]) {
                tile.element.remove();
                tiles.delete(id);
            }
        }
    }

    function drawButtons() {
        const joined = demo.phase === 'joined';
        const { audio, camera, desktop } = demo.local;
        const label = (id, text, enabled) => Object.assign(byId(id), { textContent: text, disabled: !enabled });
        label('toggle-audio', audio && audio.isMuted() ? 'Unmute microphone' : 'Mute microphone', joined && audio);
        label('toggle-video', camera && camera.isMuted() ? 'Start camera' : 'Stop camera', joined && camera && !desktop);
        label('toggle-share', desktop ? 'Stop sharing' : 'Share a picture', joined);
        label('toggle-call', joined ? 'Leave' : 'Join', [ 'joined', 'left', 'failed', 'starting' ].includes(demo.phase));
    }

    let drawn = 0;
    function drawEvents() {
        const first = demo.events.length ? demo.events[0].ms : 0;
        for (; drawn < demo.events.length; drawn += 1) {
            const event = demo.events[drawn];
            const line = document.createElement('li');
            const time = document.createElement('b');
            time.textContent = `${Math.round(event.ms - first)} ms`;
            const who = event.id ? ` ${(demo.participants[event.id] || {}).name || event.id}` : '';
            line.append(time, `${event.what}${event.kind ? ` ${event.kind}` : ''}${who}${event.reason ? `: ${event.reason}` : ''}`);
            byId('events').prepend(line);
        }
    }

    function draw() {
        byId('room').textContent = demo.room;
        byId('status').textContent = PHASES[demo.phase] + (demo.failure ? `: ${demo.failure}` : '');
        byId('status').classList.toggle('failed', demo.phase === 'failed');
        drawTiles();
        drawButtons();
        drawEvents();
    }

    async function drawFigures() {
        const figures = await demo.figures();
        for (const [ id, { video } ] of Object.entries(figures)) {
            const tile = tiles.get(id);
            if (tile) {
                tile.figures.textContent = video ? `${video.width}×${video.height}, ${video.frames} frames` : '';
            }
        }
    }

    // Each button works once at a time, and says so when it could not.
    function onClick(id, action) {
        byId(id).addEventListener('click', async () => {
            byId(id).disabled = true;
            try {
                await action();
            } catch (error) {
                byId('status').textContent = String(error);
            }
            draw();
        });
    }

    onClick('toggle-audio', () => demo.setMuted('audio', !demo.local.audio.isMuted()));
    onClick('toggle-video', () => demo.setMuted('video', !demo.local.camera.isMuted()));
    onClick('toggle-share', () => demo.local.desktop ? demo.unshare() : demo.share());
    onClick('toggle-call', () => demo.phase === 'joined' ? demo.leave() : demo.join());
    document.addEventListener('changed', draw);
    setInterval(drawFigures, 1000);
    draw();
})();
