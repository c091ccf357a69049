'use strict';

// COMPAT: the client library is of early 2022, the browser isn't. The media section of a source that was removed keeps its
// a=msid line, and when the source comes back it gets a new section with the same one; today's Chromium refuses the whole
// description then ("Duplicate a=msid lines detected"). An inactive section needs none.

(() => {
    const original = RTCPeerConnection.prototype.setRemoteDescription;

    function mend(sdp) {
        return sdp.split(/^(?=m=)/m)
            .map(section => /^a=inactive\r$/m.test(section) ? section.replace(/^a=msid:.*\r\n/gm, '') : section)
            .join('');
    }

    RTCPeerConnection.prototype.setRemoteDescription = function(description, ...rest) {
        const mended = description && description.sdp
            ? { type: description.type, sdp: mend(description.sdp) } : description;
        return original.call(this, mended, ...rest);
    };
})();
