// What nginx's own configuration cannot say: the SHA-256 of a client's certificate, which model a body names, and whether
// a client whose answer is on its way may still ask.  What may be reached is nginx.conf's alone: this file only chooses
// among the places written there.

import crypto from 'crypto';
import fs from 'fs';
import audit from 'audit.js';
import schemas from 'schemas.js';

const CLIENTS = '/etc/appliance/gateway/clients.conf';
const UNKNOWN = 'model: not served here, or not on this path; GET /v1/models lists what is';
const UNWRITTEN = 'the audit log cannot be written, so no model is asked until it can';
const NO_LONGER = 'this client was revoked, or may no longer ask';
const BEGIN_LIST = '-----BEGIN X509 CRL-----';
const INTEGER = 0x02;
const SEQUENCE = 0x30;
const VERSION = 0xa0;
const PAUSE = 1000; // milliseconds between two looks during an answer
let looked = 0; // for each answer anew

// Hexadecimal SHA-256 of the certificate's DER, as `openssl x509 -fingerprint -sha256` has it without colons; empty
// without a certificate.  nginx itself knows SHA-1 only.
function fingerprint(r) {
    const certificate = r.variables.ssl_client_raw_cert;
    return certificate ? crypto.createHash('sha256').update(der(certificate)).digest('hex') : '';
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
        refuse(r, 400, 'the body is not a JSON document, or has more than 31 levels');
        return;
    }
    if (body === null || typeof body !== 'object' || typeof body.model !== 'string') {
        refuse(r, 400, 'model: missing, or not a string');
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
    const demanded = schemas.refusal(body);
    if (demanded) {
        refuse(r, 400, demanded);
        return;
    }
    if (!mayAsk(r)) {
        refuse(r, 403, NO_LONGER);
        return;
    }
    if (!audit.accept(r)) {
        refuse(r, 503, UNWRITTEN);
        return;
    }
    r.internalRedirect(place);
}

// To a place that answers, because a "return" in nginx.conf answers before limits are looked at.
function list(r) {
    r.internalRedirect('/listed');
}

// After a model has answered 500: vLLM says at /health whether its engine has died.
function failed(r) {
    r.subrequest(`/health/${r.variables.appliance_model}`, (reply) => r.return(reply.status === 200 ? 500 : 503));
}

// Passes an answer on, part by part, as long as its client may ask; an error ends both connections.
function watch(r, data, flags) {
    const now = Date.now();
    if (now - looked >= PAUSE) {
        looked = now;
        if (!mayAsk(r)) {
            r.variables.appliance_refusal = NO_LONGER;
            throw new Error(NO_LONGER);
        }
    }
    r.sendBuffer(data, flags);
}

// Whether a client is still in the list, and not in a revocation list.  nginx has asked both when the connection began,
// and for new ones asks a new list after a reload; this is for those that have a connection.  Each client is looked up
// once for each change of the files.
function mayAsk(r) {
    const client = r.variables.appliance_fingerprint;
    const role = r.variables.appliance_role;
    const lists = r.variables.appliance_crl;
    try {
        const state = `${stamp(lists)} ${stamp(CLIENTS)}`;
        if (ngx.shared.allowed.get(`${client} ${role}`) !== state) {
            if (!listed(client, role) || revoked(der(r.variables.ssl_client_raw_cert), fs.readFileSync(lists, 'utf8'))) {
                return false;
            }
            ngx.shared.allowed.set(`${client} ${role}`, state);
        }
    } catch (error) {
        // Files that cannot be read tell nothing new: nginx goes on with those that it has read.
        audit.tell('clients', `who may ask is not known: ${error.message}`);
    }
    return true;
}

function stamp(path) {
    const status = fs.statSync(path);
    return `${status.ino} ${status.size} ${status.ctimeMs}`;
}

// As nginx reads it: a map for each role, with a client in each line.
function listed(client, role) {
    const text = fs.readFileSync(CLIENTS, 'utf8');
    const begin = text.indexOf(` $appliance_may_${role} {`);
    return begin >= 0 && text.slice(begin, text.indexOf('}', begin)).includes(` ${client} 1;`);
}

// Whether a list of the certificate's issuer has its number (RFC 5280, 4.1 and 5.1).
function revoked(certificate, lists) {
    const own = signed(certificate, VERSION); // number, algorithm, issuer ...
    const number = hex(certificate, own[0]);
    const issuer = hex(certificate, own[2]);
    return lists.split(BEGIN_LIST).slice(1).some((pem) => {
        const data = der(pem.slice(0, pem.indexOf('-')));
        const parts = signed(data, INTEGER); // algorithm, issuer, one or two times, then what is revoked, if anything is
        const entries = parts.slice(2).find((part) => part.tag === SEQUENCE);
        return hex(data, parts[1]) === issuer && entries !== undefined && holds(data, entries, number);
    });
}

// Element by element, as lists can be long.
function holds(data, entries, number) {
    let entry;
    for (let at = entries.begin; at < entries.end; at = entry.end) {
        entry = element(data, at);
        if (hex(data, element(data, entry.begin)) === number) {
            return true;
        }
    }
    return false;
}

// The elements that are signed, without the version, which may be there and has this tag.
function signed(data, version) {
    const whole = element(data, element(data, 0).begin);
    const parts = [];
    for (let at = whole.begin; at < whole.end; at = parts[parts.length - 1].end) {
        parts.push(element(data, at));
    }
    return parts[0].tag === version ? parts.slice(1) : parts;
}

// The element of DER at a place: its tag, where it and its content begin, and where it ends.
function element(data, at) {
    let begin = at + 2;
    let length = data[at + 1];
    if (length > 0x7f) {
        const end = begin + (length & 0x7f);
        for (length = 0; begin < end; begin++) {
            length = length * 256 + data[begin];
        }
    }
    if (!(begin + length <= data.length)) {
        throw new Error('a certificate or revocation list ends too early');
    }
    return {tag: data[at], at, begin, end: begin + length};
}

function hex(data, part) {
    return data.toString('hex', part.at, part.end);
}

function der(pem) {
    const lines = pem.split('\n').map((line) => line.trim()).filter((line) => !line.startsWith('-----'));
    return Buffer.from(lines.join(''), 'base64');
}

export default {failed, fingerprint, list, route, watch};
