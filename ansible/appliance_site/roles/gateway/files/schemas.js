// What a request demands of the form of its answer, before a model gets it.  vLLM makes a grammar of it, and nothing ends
// that: it reads a schema while all other requests wait, and its JSON Schemas have no limit of time (0.32.0,
// v1/structured_output/backend_xgrammar.py).  So what takes long is refused here; docs/site/gateway.md has the figures.

const MOST_BYTES = 16384; // characters of all schemas of a request, as JSON
const MOST_PATTERN = 512; // characters of all their regular expressions
const MOST_TIMES = 32; // that a regular expression may count to
const FORMS = ['text', 'json_object', 'json_schema'];
const OWN = ['json', 'json_object', 'choice', 'disable_any_whitespace', 'disable_additional_properties'];
const DATA = ['const', 'default', 'enum', 'example', 'examples'];

// Why a request is refused; empty when it is not.
function refusal(body) {
    const format = body.response_format;
    if (there(format) && (typeof format !== 'object' || !FORMS.includes(format.type))) {
        return `response_format: only the types ${FORMS.join(', ')} are taken here`;
    }
    const own = body.structured_outputs;
    if (there(own)) {
        const other = typeof own === 'object' ? Object.keys(own).find((key) => there(own[key]) && !OWN.includes(key)) : '';
        if (other !== undefined) {
            return 'structured_outputs: only json, json_object and choice are taken here';
        }
    }
    let schemas;
    try {
        schemas = demanded(format, own, body.tools);
    } catch (error) {
        return 'structured_outputs.json: not a JSON document';
    }
    return tooLong(schemas);
}

function there(value) {
    return value !== undefined && value !== null;
}

// What of a request becomes a grammar, or can.
function demanded(format, own, tools) {
    const found = [];
    if (there(format) && there(format.json_schema)) {
        found.push(format.json_schema);
    }
    if (there(own)) {
        found.push(own.choice, typeof own.json === 'string' ? JSON.parse(own.json) : own.json);
    }
    if (Array.isArray(tools)) {
        tools.forEach((tool) => found.push(there(tool) && there(tool.function) ? tool.function.parameters : undefined));
    }
    return found.filter(there);
}

function tooLong(schemas) {
    const length = schemas.reduce((sum, schema) => sum + JSON.stringify(schema).length, 0);
    if (length > MOST_BYTES) {
        return `the schemas of this request have ${length} characters, more than ${MOST_BYTES}`;
    }
    const patterns = [];
    schemas.forEach((schema) => gather(schema, patterns));
    const characters = patterns.reduce((sum, pattern) => sum + pattern.length, 0);
    if (characters > MOST_PATTERN) {
        return `the patterns of this request have ${characters} characters, more than ${MOST_PATTERN}`;
    }
    if (patterns.some(countsFar)) {
        return `pattern: counts beyond ${MOST_TIMES}, or counts a group: that takes too long`;
    }
    return '';
}

// All regular expressions of a schema.  A property may have the name of a keyword; its value then is no string.
function gather(value, patterns) {
    if (Array.isArray(value)) {
        value.forEach((item) => gather(item, patterns));
    } else if (value !== null && typeof value === 'object') {
        Object.keys(value).forEach((key) => {
            const inner = value[key];
            if (key === 'pattern' && typeof inner === 'string') {
                patterns.push(inner);
            } else if (key === 'patternProperties' && there(inner) && typeof inner === 'object') {
                Object.keys(inner).forEach((pattern) => patterns.push(pattern));
                gather(inner, patterns);
            } else if (!DATA.includes(key)) {
                gather(inner, patterns);
            } else if (there(inner) && typeof inner === 'object' && !Array.isArray(inner)) {
                gather(inner, patterns); // a property with such a name
            }
        });
    }
}

// Whether a regular expression repeats something more often than is allowed, or a group by count: counts of groups
// multiply.
function countsFar(pattern) {
    if (/\)\s*[?+*]?\{/.test(pattern)) {
        return true;
    }
    const counts = pattern.match(/\{\s*\d*\s*,?\s*\d*\s*\}/g) || [];
    return counts.some((count) => (count.match(/\d+/g) || []).some((number) => Number(number) > MOST_TIMES));
}

export default { refusal };
