-- COMPAT: Prosody 0.12. After a stream was resumed (XEP-0198), mod_c2s goes on feeding the XML parser of the
-- connection that broke. If that connection broke in the middle of a stanza, all that the client sends from then on
-- becomes a part of that stanza, until the stream is closed with "XML stanza is too big". The connection that resumes
-- has a parser of its own, which mod_smacks has already given the session: let the data reach that one.
module:hook("smacks-hibernation-end", function (event)
	event.resumed.data = event.origin.data;
end);
