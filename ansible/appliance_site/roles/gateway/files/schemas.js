// What a request demands of the form of its answer, before a model gets it.  vLLM makes a grammar of it, and nothing ends
// that: it reads a schema while all other requests wait, and its JSON Schemas have no limit of time (0.32.0,
// v1/structured_output/backend_xgrammar.py).  So what takes long is refused here; docs/site/gateway.md has the figures.

const MOST_BYTES = 16384; // characters of all schemas of a request, as JSON
const MOST_PATTERN = 512; // characters of all their regular expressions
const MOST_TIMES = 32; // that a regular expression may count to
const MOST_LENGTHS = 8; // different pairs of minLength and maxLength
const MOST_COUNTED = 4; // uses of the keywords in COUNTED
const MOST_NAMED = 16; // properties of an object whose number of properties is bounded
const FORMS = ['text', 'json_object', 'json_schema'];
const OWN = ['json', 'json_object', 'choice', 'disable_any_whitespace', 'disable_additional_properties'];
const COUNTED = ['multipleOf', 'minProperties', 'maxProperties'];
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
    const found = { patterns: [], lengths: [], counted: 0, named: 0 };
    schemas.forEach((schema) => gather(schema, found));
    return farPatterns(found.patterns) || farFigures(found);
}

function farPatterns(patterns) {
    const characters = patterns.reduce((sum, pattern) => sum + pattern.length, 0);
    if (characters > MOST_PATTERN) {
        return `the patterns of this request have ${characters} characters, more than ${MOST_PATTERN}`;
    }
    if (patterns.some(countsFar)) {
        return `pattern: counts beyond ${MOST_TIMES}, or counts a group or what repeats already: that takes too long`;
    }
    return '';
}

function farFigures(found) {
    if (found.lengths.length > MOST_LENGTHS) {
        return `minLength, maxLength: this request has ${found.lengths.length} different pairs, more than ${MOST_LENGTHS}`;
    }
    if (found.counted > MOST_COUNTED) {
        return `${COUNTED.join(', ')}: this request has ${found.counted} of them, more than ${MOST_COUNTED}`;
    }
    if (found.named > MOST_NAMED) {
        return `minProperties, maxProperties: the object has ${found.named} properties, more than ${MOST_NAMED}`;
    }
    return '';
}

// What of a schema takes long.  A property may have the name of a keyword; its value then is no string and no number.
function gather(value, found) {
    if (Array.isArray(value)) {
        value.forEach((item) => gather(item, found));
    } else if (value !== null && typeof value === 'object') {
        gatherFigures(value, found);
        Object.keys(value).forEach((key) => {
            const inner = value[key];
            if (key === 'pattern' && typeof inner === 'string') {
                found.patterns.push(inner);
            } else if (key === 'patternProperties' && there(inner) && typeof inner === 'object') {
                Object.keys(inner).forEach((pattern) => found.patterns.push(pattern));
                gather(inner, found);
            } else if (!DATA.includes(key)) {
                gather(inner, found);
            } else if (there(inner) && typeof inner === 'object' && !Array.isArray(inner)) {
                gather(inner, found); // a property with such a name
            }
        });
    }
}

// A grammar has strings of equal lengths once, so that only different ones count.
function gatherFigures(schema, found) {
    const lengths = [schema.minLength, schema.maxLength].filter((length) => typeof length === 'number');
    if (lengths.length > 0) {
        // Beyond 2^53 numbers that differ look alike here, and do not to xgrammar.
        const told = lengths.every(Number.isSafeInteger) ? `${schema.minLength} ${schema.maxLength}` : `${found.lengths.length}`;
        if (!found.lengths.includes(told)) {
            found.lengths.push(told);
        }
    }
    found.counted += COUNTED.filter((key) => typeof schema[key] === 'number').length;
    if (typeof schema.minProperties === 'number' || typeof schema.maxProperties === 'number') {
        const properties = there(schema.properties) ? schema.properties : {};
        found.named = Math.max(found.named, Object.keys(properties).length);
    }
}

// Whether a regular expression repeats something more often than is allowed, or counts a group or what repeats already:
// such counts multiply.
function countsFar(pattern) {
    if (/[)}?*+]\s*\{/.test(pattern)) {
        return true;
    }
    const counts = pattern.match(/\{\s*\d*\s*,?\s*\d*\s*\}/g) || [];
    return counts.some((count) => (count.match(/\d+/g) || []).some((number) => Number(number) > MOST_TIMES));
}

export default { refusal };
