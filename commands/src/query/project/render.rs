//! A projection that only keeps or leaves out, written straight as JSON.

use veddb_storage::document::json::{put_string, render_value};
use veddb_storage::document::{RawObject, ValueRef};

use super::{Branch, Project, Twig};

impl Project {
    // The document's depth bounds these.
    pub(super) fn write(&self, out: &mut Vec<u8>, object: RawObject<'_>, branch: &Branch) {
        out.push(b'{');
        let start = out.len();
        for (name, value) in object.iter() {
            let twig = branch.get(name);
            if !self.shows(twig, value) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            put_string(out, name);
            out.push(b':');
            self.write_value(out, value, twig);
        }
        out.push(b'}');
    }

    fn write_value(&self, out: &mut Vec<u8>, value: ValueRef<'_>, twig: Option<&Twig>) {
        match (value, twig) {
            (ValueRef::Object(object), Some(Twig::On(branch))) => self.write(out, object, branch),
            (ValueRef::Array(array), Some(Twig::On(_))) => {
                out.push(b'[');
                let start = out.len();
                for element in array.iter().filter(|e| self.shows(twig, *e)) {
                    if out.len() > start {
                        out.push(b',');
                    }
                    self.write_value(out, element, twig);
                }
                out.push(b']');
            }
            (value, _) => render_value(out, value),
        }
    }

    /// Whether a value with this twig is there at all; what is inside of it may still be left out.
    pub(super) fn shows(&self, twig: Option<&Twig>, value: ValueRef<'_>) -> bool {
        match twig {
            None => !self.keep,
            Some(Twig::End) => self.keep,
            Some(Twig::Whole) => true,
            // What is computed takes the place of what is stored, where that is not left out anyway.
            Some(Twig::Computed(_)) => !self.keep,
            // A kept path leads through containers only.
            Some(Twig::On(_)) => !self.keep || matches!(value, ValueRef::Object(_) | ValueRef::Array(_)),
        }
    }
}
