//! The codes of what can be wrong with a document: short, stable, and each explained in
//! docs/troubleshooting.md.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// All of them, in the order of their subjects.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    // Files and their text.

    /// A file, or the tree, is larger than may be read.
    TOO_LARGE = "too-large";
    /// The tree has more files, documents, values or findings than may be read.
    TOO_MANY = "too-many";
    /// Lists and mappings stand too deep within each other.
    TOO_DEEP = "too-deep";
    /// A list or mapping in brackets is too long to be read as a possible key.
    TOO_COMPLEX = "too-complex";
    /// A file is not UTF-8.
    NOT_UTF8 = "not-utf8";
    /// A character that a person would not see stands in a file.
    HIDDEN_CHARACTER = "hidden-character";

    // YAML.

    /// The file is not YAML; the rest of it was not read.
    YAML_SYNTAX = "yaml-syntax";
    /// A tab stands where YAML readers differ.
    YAML_TAB = "yaml-tab";
    /// An anchor, an alias or a merge key.
    YAML_ALIAS = "yaml-alias";
    /// A tag.
    YAML_TAG = "yaml-tag";
    /// A directive.
    YAML_DIRECTIVE = "yaml-directive";
    /// A key that is not a short string on one line.
    YAML_KEY = "yaml-key";
    /// A form that YAML readers take for different things.
    YAML_AMBIGUOUS = "yaml-ambiguous";
    /// A key stands twice in one mapping.
    DUPLICATE_KEY = "duplicate-key";

    // Shape.

    /// A field that must be there is not.
    MISSING_FIELD = "missing-field";
    /// A field that is not known.
    UNKNOWN_FIELD = "unknown-field";
    /// A value of another type than the field has.
    WRONG_TYPE = "wrong-type";
    /// An item of a list is empty.
    EMPTY_ITEM = "empty-item";
    /// A kind that is not known.
    UNKNOWN_KIND = "unknown-kind";
    /// A kind that is known, in another version.
    UNKNOWN_VERSION = "unknown-version";
    /// Something that a later version serves.
    NOT_SERVED = "not-served";
    /// A document that belongs into another file.
    MISPLACED = "misplaced";
    /// A setting of the tree that cannot be followed.
    BAD_SETTING = "bad-setting";

    // Names.

    /// A name that Kubernetes would not take.
    BAD_NAME = "bad-name";
    /// A label's key or value, or an annotation's key, that Kubernetes would not take.
    BAD_LABEL = "bad-label";
    /// A selector that Kubernetes would not take.
    BAD_SELECTOR = "bad-selector";

    // What it means.

    /// A peer that says nothing, or two things that exclude each other.
    BAD_PEER = "bad-peer";
    /// An address range that is none.
    BAD_CIDR = "bad-cidr";
    /// An exception that is not part of its range.
    BAD_EXCEPT = "bad-except";
    /// A range whose address has bits beyond its prefix length.
    CIDR_HOST_BITS = "cidr-host-bits";
    /// A port, port range, port name or protocol that is none.
    BAD_PORT = "bad-port";
    /// A policy type that is none.
    BAD_POLICY_TYPE = "bad-policy-type";
    /// Rules of a direction that the policy does not apply to.
    WITHOUT_EFFECT = "without-effect";
    /// An address that a container cannot have.
    BAD_ADDRESS = "bad-address";
    /// A path, an interface name or a MAC address that is none.
    BAD_ATTACHMENT = "bad-attachment";
    /// A number outside its limits.
    OUT_OF_RANGE = "out-of-range";
    /// Two documents of one kind and name.
    DUPLICATE_NAME = "duplicate-name";
    /// Two containers with one address.
    DUPLICATE_ADDRESS = "duplicate-address";
    /// Two named ports of one container that cannot be told apart.
    DUPLICATE_PORT = "duplicate-port";
}
