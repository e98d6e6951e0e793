//! What maps an object defines, read from its types: the shapes by which the loader makes inner
//! maps and knows a pinned map for its own, and the text of them that is part of the code's hash.
//!
//! A definition in C is a struct whose members are pointers: `__uint(x, n)` to an array of length
//! n, `__type(x, t)` to a t; `__array(values, d)` is an array of pointers to the inner definition.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use libbpf_rs::btf::BtfType;
use libbpf_rs::btf::types::{Array, Composite, DataSec, Enum, Enum64, Int, Ptr, Var};
use libbpf_rs::{Btf, HasSize, ReferencesType};

/// One map as defined.
#[derive(Default)]
pub(crate) struct Shape {
    kind: u32,
    key_size: usize,
    value_size: usize,
    entries: u32,
    flags: u32,
    /// Layouts of key and value.
    layout: String,
    inner: Option<Box<Self>>,
}

/// Every map of an object, by name.
pub(crate) fn shapes(object: &[u8]) -> Result<Vec<(String, Shape)>> {
    let btf = Btf::from_raw("datapath", object)?.context("object without types")?;
    let maps: DataSec<'_> = btf.type_by_name(".maps").context("object without maps")?;
    let mut shapes = Vec::new();
    for entry in maps.iter() {
        let map: Var<'_> = btf
            .type_by_id(entry.ty)
            .context("a map that is no variable")?;
        let name = map.name().context("a map without a name")?;
        let shape = shape(&btf, map.referenced_type())
            .with_context(|| format!("map {}", name.display()))?;
        shapes.push((name.to_string_lossy().into_owned(), shape));
    }
    shapes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(shapes)
}

/// As one text, for the hash.
pub(crate) fn text(shapes: &[(String, Shape)]) -> String {
    shapes
        .iter()
        .map(|(name, shape)| format!("{name} {}\n", shape.text()))
        .collect()
}

/// As Rust: a constant for each.
pub(crate) fn rust(shapes: &[(String, Shape)]) -> String {
    let constant = |(name, shape): &(String, Shape)| {
        format!(
            "/// `{name}` of `maps.h`.\npub const {}: Shape = {};\n",
            name.to_uppercase(),
            shape.rust(name)
        )
    };
    shapes.iter().map(constant).collect()
}

impl Shape {
    fn text(&self) -> String {
        let inner = self
            .inner
            .as_ref()
            .map(|inner| inner.text())
            .unwrap_or_default();
        format!(
            "{} {} {} {} {{{inner}}}",
            self.kind, self.entries, self.flags, self.layout
        )
    }

    fn rust(&self, name: &str) -> String {
        let inner = match &self.inner {
            Some(inner) => format!("Some(&{})", inner.rust(name)),
            None => "None".to_owned(),
        };
        format!(
            "Shape {{ name: {name:?}, kind: {}, key_size: {}, value_size: {}, entries: {}, \
             flags: {}, inner: {inner} }}",
            self.kind, self.key_size, self.value_size, self.entries, self.flags
        )
    }
}

fn shape(btf: &Btf<'_>, definition: BtfType<'_>) -> Result<Shape> {
    let definition = plain(definition);
    let definition = Composite::try_from(definition)
        .ok()
        .context("is no struct")?;
    let mut shape = Shape::default();
    for member in definition.iter() {
        let name = member.name.context("has an attribute without a name")?;
        let of = plain(
            btf.type_by_id(member.ty)
                .context("has an attribute without a type")?,
        );
        if let Ok(values) = Array::try_from(of) {
            let pointer = Ptr::try_from(plain(values.contained_type())).ok();
            let inner = pointer.context("has values that are no pointers")?;
            shape.inner = Some(Box::new(self::shape(btf, inner.referenced_type())?));
            // What user space reads and writes there is the inner map's number.
            shape.value_size = 4;
            continue;
        }
        let of = Ptr::try_from(of)
            .ok()
            .context("has an attribute that is no pointer")?;
        let of = plain(of.referenced_type());
        match name.to_str() {
            Some("type") => shape.kind = number(of)?,
            Some("max_entries") => shape.entries = number(of)?,
            Some("map_flags") => shape.flags = number(of)?,
            Some("key") => shape.key_size = size(of)?,
            Some("value") => shape.value_size = size(of)?,
            _ => bail!("has an attribute that is not known: {}", name.display()),
        }
        if matches!(name.to_str(), Some("key" | "value")) {
            layout(btf, of, &mut shape.layout)?;
        }
    }
    Ok(shape)
}

fn number(of: BtfType<'_>) -> Result<u32> {
    let array = Array::try_from(of)
        .ok()
        .context("has a number that is no array")?;
    Ok(u32::try_from(array.capacity())?)
}

fn size(of: BtfType<'_>) -> Result<usize> {
    if let Ok(composite) = Composite::try_from(of) {
        Ok(composite.size())
    } else if let Ok(int) = Int::try_from(of) {
        Ok(int.size())
    } else if let Ok(of) = Enum::try_from(of) {
        Ok(of.size())
    } else if let Ok(of) = Enum64::try_from(of) {
        Ok(of.size())
    } else {
        bail!(
            "has a key or value of kind {:?}, whose size is not known",
            of.kind()
        )
    }
}

/// A type as text: sizes, offsets and names of members.
fn layout(btf: &Btf<'_>, of: BtfType<'_>, text: &mut String) -> Result<()> {
    if let Ok(composite) = Composite::try_from(of) {
        write!(text, "({}", composite.size())?;
        for member in composite.iter() {
            let name = member.name.unwrap_or_default();
            write!(text, " {}@{:?}:", name.display(), member.attr)?;
            let of = btf
                .type_by_id(member.ty)
                .context("has a member without a type")?;
            layout(btf, plain(of), text)?;
        }
        text.push(')');
    } else if let Ok(array) = Array::try_from(of) {
        write!(text, "[{}]", array.capacity())?;
        layout(btf, plain(array.contained_type()), text)?;
    } else {
        write!(text, "{}", size(of)?)?;
    }
    Ok(())
}

fn plain(of: BtfType<'_>) -> BtfType<'_> {
    of.skip_mods_and_typedefs()
}
