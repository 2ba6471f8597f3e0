// What nginx's own configuration cannot say: the SHA-256 of a client's certificate, which model a body names, and whether
// a client whose answer is on its way may still ask.  What may be reached is nginx.conf's alone: this file only chooses
// among the places written there.

import crypto from 'crypto';
import fs from 'fs';
import audit from 'audit.js';
import schemas from 'schemas.js';

const CLIENTS = '/etc/appliance/gateway/clients.conf';
const TWICE = 'model: named more than once in the body, with escapes, or too often below';
const UNKNOWN = 'model: not served here, or not on this path; GET /v1/models lists what is';
const UNWRITTEN = 'the audit log cannot be written, so no model is asked until it can';
const NO_LONGER = 'this client was revoked, or may no longer ask';
const BEGIN_LIST = '-----BEGIN X509 CRL-----';
const INTEGER = 0x02;
const SEQUENCE = 0x30;
const VERSION = 0xa0;
// The key "model" with an escape in it, as no program writes it.
const ESCAPED = /"(?=[^"]{0,30}\\u)(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"[ \t\r\n]*:/;
const MOST_NAMED = 10000; // places with the word in a body, each of which takes microseconds
const PAUSE = 1000; // milliseconds after a look in which an answer goes on without another

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

// The body goes on as it came.  So that its reader finds the model that was chosen here, and no adapter of that model whose
// name stands in a second "model", the outermost object may have one alone.
function route(r) {
    let body;
    try {
        body = JSON.parse(r.requestText);
    } catch (error) {
        refuse(r, 400, 'the body is not a JSON document, or has more than 31 levels');
        return;
    }
    if (body === null || typeof body !== 'object' || !has(body, 'model') || typeof body.model !== 'string') {
        refuse(r, 400, 'model: missing, or not a string');
        return;
    }
    if (!once(r.requestText)) {
        refuse(r, 400, TWICE);
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
    // To those who may not use it, it is as if it were not there; the audit line has its name.
    if (!mayUse(r)) {
        refuse(r, 404, UNKNOWN);
        return;
    }
    if (!mayAsk(r)) {
        refuse(r, 403, NO_LONGER);
        return;
    }
    const demanded = schemas.refusal(body);
    if (demanded) {
        refuse(r, 400, demanded);
        return;
    }
    if (!audit.accept(r)) {
        refuse(r, 503, UNWRITTEN);
        return;
    }
    r.internalRedirect(place);
}

// An object's own, and not what "__proto__" in a body may have given it.
function has(object, key) {
    return Object.prototype.hasOwnProperty.call(object, key);
}

// Whether the outermost object of a text, which is JSON and has the key "model" there, has it once.  Each such key gets a
// name of its own, so that the parser keeps all of them: between quotation marks that are not escaped, followed by a colon,
// is nothing but a key.  No regular expression is asked for every place: in njs, each answer takes as long as the text.
function once(text) {
    if (text.indexOf('\\u006') >= 0 && ESCAPED.test(text)) {
        return false;
    }
    const parts = text.split('"model"');
    if (parts.length > MOST_NAMED) {
        return false;
    }
    const named = parts.map((part, number) => number > 0 && part.trimStart().charAt(0) === ':');
    if (named.filter((one) => one).length === 1) {
        return true;
    }
    const told = parts.map((part, number) => (number === 0 ? part : `"model${named[number] ? ` ${number}` : ''}"${part}`));
    return Object.keys(JSON.parse(told.join(''))).filter((key) => key.startsWith('model ')).length === 1;
}

// Whether nginx.conf and clients.conf let a client use the model or the adapter that a request names.
function mayUse(r) {
    const said = r.variables;
    return said.appliance_named === '1' || (said.appliance_every === '1' && said.appliance_engine === said.appliance_model);
}

// What the client may use, in the order of nginx.conf.  To a place that answers, because a "return" in nginx.conf answers
// before limits are looked at.
function list(r) {
    const said = r.variables;
    const found = [];
    for (let number = 0; ; number++) {
        said.appliance_number = String(number);
        const words = said.appliance_served.split(' '); // a task and a name
        if (words.length !== 2) {
            break;
        }
        said.appliance_model = words[1];
        if (said[`appliance_may_${words[0]}`] === '1' && mayUse(r)) {
            found.push({id: words[1], object: 'model', created: 0, owned_by: 'appliance'});
        }
    }
    said.appliance_model = '';
    said.appliance_models = JSON.stringify(found);
    r.internalRedirect('/listed');
}

// After a model has answered 500: vLLM says at /health whether its engine has died.
function failed(r) {
    r.subrequest(`/health/${r.variables.appliance_engine}`, (reply) => r.return(reply.status === 200 ? 500 : 503));
}

// Passes an answer on, part by part, as long as its client may ask; an error ends both connections.
function watch(r, data, flags) {
    // A clock that was set back is no reason to look less often.
    if (Math.abs(Date.now() - Number(r.variables.appliance_looked)) >= PAUSE && !mayAsk(r)) {
        r.variables.appliance_refusal = NO_LONGER;
        throw new Error(NO_LONGER);
    }
    r.sendBuffer(data, flags);
}

// Whether a client is still in the list, and not in a revocation list.  nginx has asked both when the connection began,
// and for new ones asks a new list after a reload; this is for those that have a connection.  Each client is looked up
// once for each model and change of the files.
function mayAsk(r) {
    const client = r.variables.appliance_fingerprint;
    const role = r.variables.appliance_role;
    const model = r.variables.appliance_model;
    const own = r.variables.appliance_engine === model;
    const lists = r.variables.appliance_crl;
    r.variables.appliance_looked = String(Date.now());
    try {
        const state = `${stamp(lists)} ${stamp(CLIENTS)}`;
        if (ngx.shared.allowed.get(`${client} ${role} ${model}`) !== state) {
            if (!listed(client, role, model, own) || revoked(der(r.variables.ssl_client_raw_cert), fs.readFileSync(lists, 'utf8'))) {
                return false;
            }
            ngx.shared.allowed.set(`${client} ${role} ${model}`, state);
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

// As nginx reads it: a map for each role, with a client in each line; and those of who may use what.  `own` says that the
// name is a model's, and no adapter's.
function listed(client, role, model, own) {
    const text = fs.readFileSync(CLIENTS, 'utf8');
    const within = (name, line) => {
        const begin = text.indexOf(` $appliance_${name} {`);
        return begin >= 0 && text.slice(begin, text.indexOf('}', begin)).includes(` ${line} 1;`);
    };
    return within(`may_${role}`, client) && ((own && within('every', client)) || within('named', `"${client} ${model}"`));
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
