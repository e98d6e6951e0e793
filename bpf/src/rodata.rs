//! The constants that stand in a loaded program, read back from the kernel.
//!
//! libbpf binds the map of constants to every program of an object, and the kernel keeps its types;
//! so a variable is found by its name, whatever build of ours loaded the program. A constant of a
//! build with other types than ours reads as none.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use libbpf_rs::Btf;
use libbpf_rs::btf::TypeId;
use libbpf_rs::btf::types::{DataSec, Var};

use crate::fault::{Fault, Object, Of};
use crate::sys::{self, Plain, ProgramInfo};

/// Offset and size of each variable.
type Layout = BTreeMap<String, (usize, usize)>;

/// The constants of one program.
#[derive(Debug)]
pub(crate) struct Constants {
    bytes: Vec<u8>,
    layout: Rc<Layout>,
}

impl Constants {
    /// A variable, if there is one of that name and size.
    pub(crate) fn variable<T: Plain>(&self, name: &str) -> Option<T> {
        sys::value_of(self.slice(name)?)
    }

    /// A variable that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let bytes = self.slice(name)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    fn slice(&self, name: &str) -> Option<&[u8]> {
        let (offset, size) = self.layout.get(name)?;
        self.bytes.get(*offset..offset + size)
    }
}

/// Reads constants of many programs; types that it has seen it does not read again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    seen: Vec<(Vec<u8>, Rc<Layout>)>,
}

impl Reader {
    /// The constants of a program. Maps that `skip` knows are not looked at.
    pub(crate) fn read(
        &mut self,
        program: &ProgramInfo,
        skip: impl Fn(u32) -> bool,
    ) -> Result<Option<Constants>, Fault> {
        for &id in program.maps.iter().filter(|id| !skip(**id)) {
            let object = || Object::Id("map", id);
            let map = sys::map_by_id(id).of("open", object)?;
            let info = sys::map_info(map.as_fd()).of("look at", object)?;
            if !info.name.ends_with(".rodata") {
                continue;
            }
            let mut bytes = vec![0; info.value_size as usize];
            let found = sys::lookup(map.as_fd(), &0_u32.to_ne_bytes(), &mut bytes);
            if found.of("read", object)? {
                // Without types nothing in it has a name: no load of ours keeps such a program.
                if program.btf == 0 {
                    return Ok(None);
                }
                let layout = self.layout(program, info.btf_value_type);
                let layout =
                    layout.of("read the types of", || Object::Id("program", program.id))?;
                return Ok(Some(Constants { bytes, layout }));
            }
        }
        Ok(None)
    }

    fn layout(&mut self, program: &ProgramInfo, section: u32) -> io::Result<Rc<Layout>> {
        let types = sys::btf_bytes(program.btf)?;
        if let Some((_, layout)) = self.seen.iter().find(|(seen, _)| *seen == types) {
            return Ok(Rc::clone(layout));
        }
        // What the kernel said libbpf leaves there, and libbpf-rs does not hand on.
        let btf = Btf::from_prog_id(program.id).map_err(|_| io::Error::last_os_error())?;
        let layout = Rc::new(layout_of(&btf, section));
        self.seen.push((types, Rc::clone(&layout)));
        Ok(layout)
    }
}

fn layout_of(btf: &Btf<'_>, section: u32) -> Layout {
    let Some(section) = btf.type_by_id::<DataSec<'_>>(TypeId::from(section)) else {
        return Layout::new();
    };
    let variables = section.iter().filter_map(|entry| {
        let name = btf
            .type_by_id::<Var<'_>>(entry.ty)?
            .name()?
            .to_str()?
            .to_owned();
        Some((name, (entry.offset as usize, entry.size)))
    });
    variables.collect()
}
