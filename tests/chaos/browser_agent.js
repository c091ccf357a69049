'use strict';

// Put into the demo's page: does what it is told, one step after the other, and writes down what the page goes through.
// All times are milliseconds since the epoch, so that the pages and the test can be laid side by side.

(() => {
    const demo = window.demo;
    const now = () => performance.timeOrigin + performance.now();
    const INTERVAL = 1000; // between two looks at the counters
    const LIMIT = 60000; // for one step
    const NOTED = /^(session-|source-|transport-|presence unavailable|iq error)/;

    const agent = window.agent = {
        samples: [], // { ms, flows: { id: { audio: [ssrc, bytes], video: [ssrc, frames] } } }
        steps: [], // { number, begin, end, error }
        stanzas: [] // { ms, direction, what, from, sources: { owner: [SSRCs] } }
    };
    let told = 0; // events that were taken
    let last = Promise.resolve();

    const actions = {
        join: async () => {
            await demo.join();
            await reached('joined');
        },
        leave: () => demo.leave(),
        share: () => demo.share(),
        unshare: () => demo.unshare(),
        'mute audio': () => demo.setMuted('audio', true),
        'unmute audio': () => demo.setMuted('audio', false),
        'mute video': () => demo.setMuted('video', true),
        'unmute video': () => demo.setMuted('video', false)
    };

    function reached(phase) {
        return new Promise((resolve, reject) => {
            const look = () => {
                if (demo.phase === phase || demo.phase === 'failed') {
                    document.removeEventListener('changed', look);
                    (demo.phase === phase ? resolve : reject)(new Error(demo.failure));
                }
            };
            document.addEventListener('changed', look);
            look();
        });
    }

    function limited(promise) {
        return Promise.race([ promise, new Promise((_, reject) =>
            setTimeout(() => reject(new Error('not done in time')), LIMIT)) ]);
    }

    // Returns at once; the step begins when those before it have ended.
    agent.perform = (number, action) => {
        last = last.then(async () => {
            const step = { number, begin: now(), end: null, error: null };
            agent.steps.push(step);
            try {
                await limited(actions[action]());
            } catch (error) {
                step.error = String(error);
            }
            step.end = now();
        });
    };

    // What has gathered since the last time. A step that has not ended is told again.
    agent.take = () => {
        const { samples, stanzas } = agent;
        const steps = agent.steps.slice();
        const events = demo.events.slice(told);
        told = demo.events.length;
        agent.samples = [];
        agent.stanzas = [];
        agent.steps = steps.filter(step => step.end === null);
        return { samples, stanzas, steps, events, phase: demo.phase, failure: demo.failure, id: demo.myId };
    };

    // Both descriptions of the peer connection, in which every SSRC stands.
    agent.descriptions = () => {
        const session = demo.conference && demo.conference.jvbJingleSession;
        const pc = session && session.peerconnection && session.peerconnection.peerconnection;
        return pc ? { id: demo.myId, local: pc.localDescription.sdp, remote: pc.remoteDescription.sdp } : null;
    };

    const counter = { audio: 'bytes', video: 'frames' };
    setInterval(async () => {
        if (demo.phase === 'joined') {
            const ms = now();
            const figures = await demo.figures();
            const flows = {};
            for (const [ id, kinds ] of Object.entries(figures)) {
                flows[id] = {};
                for (const [ kind, entry ] of Object.entries(kinds)) {
                    flows[id][kind] = [ entry.ssrc, entry[counter[kind]] ];
                }
            }
            agent.samples.push({ ms, flows });
        }
    }, INTERVAL);

    // Whose sources a stanza names. The updates that this client gets come in JSON.
    function sourcesIn(xml) {
        const message = new DOMParser().parseFromString(xml, 'text/xml').getElementsByTagName('json-message')[0];
        const told = message ? JSON.parse(message.textContent).sources : {};
        return Object.fromEntries(Object.entries(told).map(([ owner, [ video = [], , audio = [] ] ]) =>
            [ owner, video.concat(audio).map(source => source.s) ]));
    }

    document.addEventListener('wire', ({ detail }) => {
        if (detail.what && NOTED.test(detail.what)) {
            const from = /\bfrom=["']([^"']*)["']/.exec(detail.xml);
            agent.stanzas.push({ ms: detail.ms, direction: detail.direction, what: detail.what,
                from: from ? from[1] : '', sources: detail.direction === 'in' ? sourcesIn(detail.xml) : {} });
        }
    });
})();
