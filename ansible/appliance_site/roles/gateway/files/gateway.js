// What nginx's own configuration cannot say: the SHA-256 of a client's certificate, and which model a body names.  What may be reached is nginx.conf's alone: this file only chooses among the places written there.

import crypto from 'crypto';

const UNKNOWN = 'model: not served here, or not on this path; GET /v1/models lists what is';

// Hexadecimal SHA-256 of the certificate's DER, as `openssl x509 -fingerprint -sha256` has it without colons; empty
// without a certificate.  nginx itself knows SHA-1 only.
function fingerprint(r) {
    const pem = r.variables.ssl_client_raw_cert;
    if (!pem) {
        return '';
    }
    const der = Buffer.from(pem.replace(/-----[A-Z ]+-----/g, '').replace(/\s/g, ''), 'base64');
    return crypto.createHash('sha256').update(der).digest('hex');
}

function refuse(r, status, reason) {
    r.variables.appliance_refusal = reason;
    r.return(status);
}

// The body goes on as it came.  A parser that reads a duplicate "model" otherwise finds a model that the chosen server
// does not have, and answers 404: this choice gives no right that nginx.conf has not given before.
function route(r) {
    let body;
    try {
        body = JSON.parse(r.requestText);
    } catch (error) {
        refuse(r, 400, 'the body is no JSON document, or has more than 31 levels');
        return;
    }
    if (body === null || typeof body !== 'object' || typeof body.model !== 'string') {
        refuse(r, 400, 'model: missing, or no string');
        return;
    }
    r.variables.appliance_model = body.model;
    const place = r.variables.appliance_place;
    // A map of nginx's takes TINY-CHAT for tiny-chat too.
    if (place !== `/upstream/${body.model}${r.uri}`) {
        // What a client invents is not for the audit lines.
        r.variables.appliance_model = '';
        refuse(r, 404, UNKNOWN);
        return;
    }
    r.internalRedirect(place);
}

// To a place that answers, because a "return" in nginx.conf answers before limits are looked at.
function list(r) {
    r.internalRedirect('/listed');
}

export default {fingerprint, list, route};
