//! Updates by a pipeline: stages that each make a document of a document, with expressions.
//!
//! A stage is one entry in [`STAGES`].

use veddb_storage::document::expression::{Expression, ExpressionLimits, Root, Scope, Work};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use super::{Terms, bad_update, check_size};
use crate::context::Limits;
use crate::error::CommandError;
use crate::query::project::{Project, Sight};

/// The most stages, as in any pipeline.
const STAGES_MAX: usize = 1000;

/// The stages of an update.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<(&'static str, Stage)>,
    /// When it was read, milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// What one stage does.
#[derive(Debug)]
pub enum Stage {
    /// Sets, leaves out, keeps or computes members.
    Project(Project),
    /// Puts another document in its place.
    Replace(Expression),
}

/// A stage that an update may have.
pub struct StageOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads its operand, in which these variables are in sight.
    pub parse: fn(ValueRef<'_>, &Limits, &[&str]) -> Result<Stage, String>,
}

/// The stages.
pub const STAGES: &[StageOperator] = &[
    StageOperator { name: "$set", summary: "Sets members to the values of expressions.", parse: set },
    StageOperator { name: "$addFields", summary: "The same as $set.", parse: set },
    StageOperator { name: "$unset", summary: "Leaves out the member, or members, of this path.", parse: unset },
    StageOperator { name: "$project", summary: "Keeps, leaves out and computes members.", parse: project },
    StageOperator { name: "$replaceWith", summary: "The document that the expression makes.", parse: replace_with },
    StageOperator {
        name: "$replaceRoot",
        summary: "The same as $replaceWith, as {\"newRoot\": expression}.",
        parse: replace_root,
    },
];

fn object(operand: ValueRef<'_>) -> Result<RawObject<'_>, String> {
    match operand {
        ValueRef::Object(object) => Ok(object),
        other => Err(format!("needs an object, not {}", other.kind().name())),
    }
}

fn set(operand: ValueRef<'_>, limits: &Limits, variables: &[&str]) -> Result<Stage, String> {
    let object = object(operand)?;
    if object.is_empty() {
        return Err("needs at least one path".into());
    }
    Project::set(object, limits, variables).map(Stage::Project)
}

fn unset(operand: ValueRef<'_>, limits: &Limits, _: &[&str]) -> Result<Stage, String> {
    Project::unset(operand, limits).map(Stage::Project)
}

fn project(operand: ValueRef<'_>, limits: &Limits, variables: &[&str]) -> Result<Stage, String> {
    Project::stage(object(operand)?, limits, variables).map(Stage::Project)
}

fn replace_with(operand: ValueRef<'_>, limits: &Limits, variables: &[&str]) -> Result<Stage, String> {
    let limits = ExpressionLimits { nodes: limits.max_query_nodes, regex_size: limits.max_regex_size };
    Expression::parse_with(operand, &limits, variables).map(Stage::Replace).map_err(|error| error.0)
}

fn replace_root(operand: ValueRef<'_>, limits: &Limits, variables: &[&str]) -> Result<Stage, String> {
    let mut members = object(operand)?.iter();
    match (members.next(), members.next()) {
        (Some(("newRoot", expression)), None) => replace_with(expression, limits, variables),
        _ => Err("needs newRoot and nothing else".into()),
    }
}

impl Pipeline {
    /// Reads an array of stages, in which these variables are in sight; their values are handed to [`Pipeline::apply`] in
    /// the same order.
    pub fn parse(list: &[Value], terms: &Terms<'_>, variables: &[&str]) -> Result<Pipeline, CommandError> {
        if list.len() > STAGES_MAX {
            return Err(bad_update(format!("more than {STAGES_MAX} stages")));
        }
        let mut stages = Vec::with_capacity(list.len());
        for (at, stage) in list.iter().enumerate() {
            let bad = |what: String| bad_update(format!("stage {at}: {what}"));
            let members = stage.as_object().map_or(&[][..], |object| &object.0);
            let [(name, operand)] = members else {
                return Err(bad("is an object with one member, the name of a stage".into()));
            };
            let Some(operator) = STAGES.iter().find(|operator| operator.name == name) else {
                return Err(bad(format!("unknown stage {name}")));
            };
            let packed = codec::pack_value(operand);
            let stage = (operator.parse)(packed.get(), terms.limits, variables)
                .map_err(|what| bad(format!("{name}: {what}")))?;
            stages.push((operator.name, stage));
        }
        Ok(Pipeline { stages, now_ms: terms.now_ms })
    }

    /// What an update's pipeline looks at beside the document.
    pub(super) fn sight(&self) -> Sight<'static> {
        Sight { filter: None, now_ms: self.now_ms, variables: &[], watch: None }
    }

    /// The document that the last stage makes. Each stage's is checked: a few stages can make one very large.
    pub fn apply(
        &self,
        before: RawObject<'_>,
        limits: &Limits,
        sight: Sight<'_>,
        work: &Work,
    ) -> Result<Object, CommandError> {
        let mut object = before.to_object();
        let mut body: Box<[u8]>;
        let mut root = before;
        for (at, (name, stage)) in self.stages.iter().enumerate() {
            let made = match stage {
                Stage::Project(project) => project.apply_within(root, sight, work),
                Stage::Replace(expression) => replace(expression, root, sight, work),
            };
            object = made.map_err(|what| bad_update(format!("stage {at}: {name}: {what}")))?;
            body = codec::pack_object(&object);
            check_size(&object, &body, limits)?;
            root = RawObject::from_body(&body);
        }
        Ok(object)
    }
}

fn replace(expression: &Expression, root: RawObject<'_>, sight: Sight<'_>, work: &Work) -> Result<Object, String> {
    let now_ms = i64::try_from(sight.now_ms).unwrap_or(i64::MAX);
    let scope = Scope { root: Root::Packed(root), now_ms, variables: sight.variables, watch: sight.watch };
    match expression.evaluate_within(&scope, work).map_err(|error| error.0)? {
        Some(Value::Object(object)) => Ok(object),
        Some(other) => Err(format!("makes a value of type {}, not an object", other.kind().name())),
        None => Err("makes nothing, not an object".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::apply_with;
    use crate::error::ErrorCode;

    fn check(document: &str, update: &str, expected: Result<&str, &str>) {
        let got = apply_with("{}", None, document, update);
        match (got, expected) {
            (Ok(got), Ok(wanted)) => {
                assert_eq!(got.unwrap_or_default(), wanted, "{update} on {document}");
            }
            (Err(error), Err(message)) => {
                assert_eq!((error.code, &*error.message), (ErrorCode::BadUpdate, message), "{update}");
            }
            (got, _) => panic!("{update} on {document}: {got:?}"),
        }
    }

    #[test]
    fn stages() {
        let document = r#"{"_id":1,"a":2,"b":{"c":3}}"#;
        for (update, expected) in [
            ("[]", ""),
            (r#"[{"$set":{"a":"$b.c"}}]"#, r#"{"_id":1,"a":3,"b":{"c":3}}"#),
            (r#"[{"$set":{"a":1,"b":{"d":4}}}]"#, r#"{"_id":1,"a":1,"b":{"c":3,"d":4}}"#),
            (r#"[{"$set":{"a":"$nothing"}}]"#, r#"{"_id":1,"b":{"c":3}}"#),
            (r#"[{"$set":{"x":{"$add":["$a",1]}}},{"$set":{"y":"$x"}}]"#, r#"{"_id":1,"a":2,"b":{"c":3},"x":3,"y":3}"#),
            (r#"[{"$addFields":{"a.z":1}}]"#, r#"{"_id":1,"a":{"z":1},"b":{"c":3}}"#),
            (r#"[{"$unset":"a"}]"#, r#"{"_id":1,"b":{"c":3}}"#),
            (r#"[{"$unset":["a","b.c"]}]"#, r#"{"_id":1,"b":{}}"#),
            (r#"[{"$project":{"a":1}}]"#, r#"{"_id":1,"a":2}"#),
            (r#"[{"$project":{"a":0}}]"#, r#"{"_id":1,"b":{"c":3}}"#),
            (r#"[{"$project":{"_id":0,"x":"$a"}}]"#, r#"{"_id":1,"x":2}"#),
            (r#"[{"$replaceWith":"$b"}]"#, r#"{"_id":1,"c":3}"#),
            (r#"[{"$replaceRoot":{"newRoot":{"_id":1,"v":"$a"}}}]"#, r#"{"_id":1,"v":2}"#),
        ] {
            check(document, update, Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be() {
        let document = r#"{"_id":1,"a":2}"#;
        for (update, message) in [
            ("[1]", "stage 0: is an object with one member, the name of a stage"),
            (r#"[{"$set":{"a":1},"$unset":"b"}]"#, "stage 0: is an object with one member, the name of a stage"),
            (r#"[{"$set":{"a":1}},{"$match":{}}]"#, "stage 1: unknown stage $match"),
            (r#"[{"$set":{}}]"#, "stage 0: $set: needs at least one path"),
            (r#"[{"$set":1}]"#, "stage 0: $set: needs an object, not int"),
            (r#"[{"$set":{"a":1,"a.b":1}}]"#, "stage 0: $set: a.b collides with another path"),
            (r#"[{"$unset":1}]"#, "stage 0: $unset: needs a path or an array of paths"),
            (r#"[{"$project":{}}]"#, "stage 0: $project: needs at least one path"),
            (r#"[{"$project":{"a.$":1}}]"#, "stage 0: $project: a.$ is not a path"),
            (r#"[{"$replaceWith":"$a"}]"#, "stage 0: $replaceWith: makes a value of type int, not an object"),
            (r#"[{"$replaceWith":"$x"}]"#, "stage 0: $replaceWith: makes nothing, not an object"),
            (r#"[{"$replaceRoot":{"root":1}}]"#, "stage 0: $replaceRoot: needs newRoot and nothing else"),
            (r#"[{"$set":{"_id":2}}]"#, "_id cannot be changed"),
        ] {
            check(document, update, Err(message));
        }
    }

    #[test]
    fn stages_cannot_nest_deeper_than_an_insert() {
        let nesting = vec![r#"{"$set":{"a":["$a"]}}"#; 200].join(",");
        let error = apply_with("{}", None, r#"{"_id":1,"a":1}"#, &format!("[{nesting}]")).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooBig);
    }
}
