'use strict';

// Watches the page's own WebSockets: which stanzas went over the wire, and when. The client library never notices.
// window.demo.wire holds {ms, direction, what, id, xml}; ms is the time since the epoch, so that several pages and the logs of
// the servers can be laid side by side.

window.demo = { wire: [], channel: [], events: [] };

(() => {
    const KEPT = 2000; // entries; enough for every test, and a page that is left open stays small
    const LONGEST = 20000; // characters kept of one stanza
    const now = () => performance.timeOrigin + performance.now();

    function keep(list, entry) {
        list.push(entry);
        if (list.length > KEPT) {
            list.splice(0, KEPT / 2);
        }
        document.dispatchEvent(new CustomEvent('wire', { detail: entry }));
    }

    // What a stanza is about, in one word: the Jingle action, else the payload's or the stanza's name.
    function describe(xml) {
        const jingle = /<jingle\b[^>]*\baction=["']([a-z-]+)["']/.exec(xml);
        if (jingle) {
            return jingle[1];
        }
        const start = /^<([a-z:]+)([^>]*)>(?:<([a-z:-]+))?/.exec(xml);
        if (!start) {
            return '';
        }
        const type = /\btype=["']([a-z]+)["']/.exec(start[2]);
        return [ start[1], type && type[1], start[1] === 'iq' && start[3] ].filter(Boolean).join(' ');
    }

    function note(direction, data) {
        if (typeof data !== 'string' || data.startsWith('<open') || data.startsWith('<close')) {
            return;
        }
        const id = /^<iq\b[^>]*\bid=["']([^"']*)["']/.exec(data);
        keep(window.demo.wire, { ms: now(), direction, what: describe(data), id: id && id[1],
            xml: data.slice(0, LONGEST) });
    }

    function noteChannel(direction, data) {
        if (typeof data === 'string' && data.startsWith('{')) {
            keep(window.demo.channel, { ms: now(), direction, text: data.slice(0, LONGEST) });
        }
    }

    const Native = window.WebSocket;

    class TappedWebSocket extends Native {
        constructor(url, protocols) {
            if (protocols === undefined) {
                super(url);
            } else {
                super(url, protocols);
            }
            this.note = [].concat(protocols || []).includes('xmpp') ? note : noteChannel;
            this.addEventListener('message', event => this.note('in', event.data));
        }

        send(data) {
            this.note('out', data);
            super.send(data);
        }
    }

    window.WebSocket = TappedWebSocket;
})();
