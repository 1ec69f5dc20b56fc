//! What a schema may be, so that asking it of a document ends soon.
//!
//! A reference stands for what it leads to, so a few of them can unfold to more than anybody can evaluate. Counted
//! unfolded, a schema has at most [`NODES_MAX`] objects and arrays, [`DEPTH_MAX`] levels deep, and no reference leads
//! back to where it stands. Names inside `enum` and its like are counted as if they were keywords: that errs on the safe
//! side.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::DIALECT;

/// Objects and arrays.
const NODES_MAX: usize = 10_000;
/// Levels. Evaluation recurses as deep.
const DEPTH_MAX: usize = 128;

/// Refuses what is too large, and what reaches outside.
pub(super) fn check(schema: &Json) -> Result<(), String> {
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().map(|dialect| dialect.trim_end_matches('#')) != Some(DIALECT)
    {
        return Err(format!("$schema is not {DIALECT}"));
    }
    let mut unfolding = Unfolding { root: schema, known: HashMap::new() };
    let size = unfolding.size(schema, 0)?;
    if size.nodes > NODES_MAX {
        return Err(format!("the schema unfolds to more than {NODES_MAX} objects and arrays"));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    levels: usize,
}

/// What a reference leads to.
enum Target {
    /// Being counted: whoever meets it again goes in circles.
    Open,
    Counted(Size),
}

struct Unfolding<'s> {
    root: &'s Json,
    known: HashMap<&'s str, Target>,
}

impl<'s> Unfolding<'s> {
    // Bounded by DEPTH_MAX, through references as well.
    fn size(&mut self, schema: &'s Json, depth: usize) -> Result<Size, String> {
        let mut size = Size::default();
        match schema {
            Json::Array(list) => {
                self.enter(depth)?;
                for inner in list {
                    size = join(size, self.size(inner, depth + 1)?);
                }
            }
            Json::Object(members) => {
                self.enter(depth)?;
                for (name, inner) in members {
                    if let Json::String(text) = inner {
                        size = join(size, self.keyword(name, text, depth)?);
                    }
                    size = join(size, self.size(inner, depth + 1)?);
                }
            }
            _ => return Ok(size),
        }
        Ok(Size { nodes: size.nodes.saturating_add(1), levels: size.levels + 1 })
    }

    fn enter(&self, depth: usize) -> Result<(), String> {
        if depth >= DEPTH_MAX {
            return Err(format!("the schema unfolds to more than {DEPTH_MAX} levels"));
        }
        Ok(())
    }

    fn keyword(&mut self, name: &str, text: &'s str, depth: usize) -> Result<Size, String> {
        match name {
            "$ref" => self.reference(text, depth),
            "$dynamicRef" | "$recursiveRef" => Err(format!("{name} is not supported")),
            // They would change what a reference means.
            "$id" | "$anchor" | "$dynamicAnchor" if depth > 0 => Err(format!("{name} is only supported at the root")),
            _ => Ok(Size::default()),
        }
    }

    fn reference(&mut self, text: &'s str, depth: usize) -> Result<Size, String> {
        let pointer = text.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer = pointer.filter(|pointer| !pointer.contains('%'));
        let pointer = pointer.ok_or("a $ref does not lead into the schema, as #/$defs/name does")?;
        let size = match self.known.get(pointer) {
            Some(Target::Open) => return Err(format!("the $ref {text:?} leads back to itself")),
            Some(Target::Counted(size)) => *size,
            None => {
                let target = self.root.pointer(pointer).ok_or_else(|| format!("the $ref {text:?} leads nowhere"))?;
                self.known.insert(pointer, Target::Open);
                let size = self.size(target, depth + 1)?;
                self.known.insert(pointer, Target::Counted(size));
                size
            }
        };
        if depth + size.levels > DEPTH_MAX {
            return Err(format!("the schema unfolds to more than {DEPTH_MAX} levels"));
        }
        Ok(Size { levels: size.levels + 1, ..size })
    }
}

fn join(a: Size, b: Size) -> Size {
    Size { nodes: a.nodes.saturating_add(b.nodes), levels: a.levels.max(b.levels) }
}
