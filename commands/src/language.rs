//! Renders `docs/language.md` from the tables of operators: what filters, updates, projections and expressions know.
//!
//! An operator that is not in a table is not in the language, so the reference cannot promise what is not there. The same
//! test as that of the command reference compares the file with the rendering.

use veddb_storage::document::expression;
use veddb_storage::document::filter::{FIELD, KEYWORDS, TREE};
use veddb_storage::document::order::class;
use veddb_storage::document::value::Kind;

use crate::pipeline::accumulators::ACCUMULATORS;
use crate::pipeline::stages::{Place, STAGES};
use crate::query::{project, update};

/// A title, and what writes the rest.
type Chapter = (&'static str, fn(&mut String));

/// The chapters, in order.
const CHAPTERS: &[Chapter] = &[
    ("Values", values),
    ("Paths", paths),
    ("Filters", filters),
    ("Schemas in filters", schemas),
    ("Updates", updates),
    ("Pipelines of updates", update_stages),
    ("Projections", projections),
    ("Pipelines", stages),
    ("Accumulators", accumulators),
    ("Expressions", expressions),
];

/// The reference as Markdown.
pub fn render() -> String {
    let mut out = String::from(
        "# The language\n\nFilters, updates, projections and expressions are MongoDB's; [where they \
         differ](differences.md) is a list of its own. This reference is generated from the tables that the parsers \
         read (`veddb docs language` prints it). [commands.md](commands.md) has the commands that take them.\n\nIn \
         the tables `..` stands for what an operator takes, `...` for more of the same, `?` follows what may be left \
         out, and quotation marks around names are left out where JSON needs them.\n\n",
    );
    for (title, _) in CHAPTERS {
        out.push_str(&format!("- [{title}](#{})\n", title.to_lowercase().replace(' ', "-")));
    }
    for (title, chapter) in CHAPTERS {
        out.push_str(&format!("\n## {title}\n\n"));
        chapter(&mut out);
    }
    out
}

/// One line of a table.
type Row<'t> = [&'t str; 3];

fn table(out: &mut String, head: &str, rows: &[Row<'_>]) {
    out.push_str(&format!("| {head} | takes | |\n|---|---|---|\n"));
    for [name, operand, summary] in rows {
        out.push_str(&format!("| `{name}` | `{operand}` | {} |\n", summary.replace('|', "\\|")));
    }
}

fn family(out: &mut String, name: &str) {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    out.push_str(&format!("\n### {}{rest}\n\n", first.to_uppercase()));
}

fn values(out: &mut String) {
    out.push_str(
        "Documents are JSON. Types that JSON has not are written as MongoDB Extended JSON, and come back so. Values of \
         different types are ordered as in this table, numbers of all types by their value. What is missing counts \
         as null in filters and sorts.\n\n| order | type | number | written |\n|---|---|---|---|\n",
    );
    let mut kinds = Kind::ALL;
    kinds.sort_by_key(|kind| (class(*kind), kind.code()));
    for kind in kinds {
        let (order, name, code) = (class(kind) + 1, kind.name(), kind.code());
        out.push_str(&format!("| {order} | `{name}` | {code} | `{}` |\n", written(kind)));
    }
    out.push_str(
        "\nName and number are what `$type` takes; `number` is any of the four kinds of number. Strings are compared by \
         their bytes, objects member by member in their order, arrays element by element. In a sort an array stands for \
         its least element, or for its greatest when the order is descending.\n",
    );
}

/// How a value of the type is written.
fn written(kind: Kind) -> &'static str {
    match kind {
        Kind::MinKey => r#"{"$minKey": 1}"#,
        Kind::Null => "null",
        Kind::Int32 => "5",
        Kind::Int64 => r#"5000000000, {"$numberLong": "5"}"#,
        Kind::Double => r#"0.5, {"$numberDouble": "NaN"}"#,
        Kind::Decimal => r#"{"$numberDecimal": "0.10"}"#,
        Kind::String => r#""text""#,
        Kind::Object => r#"{"name": "Ada"}"#,
        Kind::Array => "[1, 2]",
        Kind::Binary => r#"{"$binary": {"base64": "AQI=", "subType": "00"}}, {"$uuid": ".."}"#,
        Kind::ObjectId => r#"{"$oid": "65a0c0ffee65a0c0ffee65a0"}"#,
        Kind::Bool => "true, false",
        Kind::Date => r#"{"$date": "2026-01-31T12:00:00Z"}"#,
        Kind::Timestamp => r#"{"$timestamp": {"t": 1, "i": 1}}"#,
        Kind::Regex => r#"{"$regularExpression": {"pattern": "^a", "options": "i"}}"#,
        Kind::MaxKey => r#"{"$maxKey": 1}"#,
    }
}

fn paths(out: &mut String) {
    out.push_str(
        "A path is names with dots between them: `address.city`. It goes into each element of an array that it meets, \
         and a number is the index of an element too: `lines.sku`, `lines.0.sku`. Paths of updates do not go into all \
         elements by themselves:\n\n",
    );
    out.push_str("| step | for example | stands for |\n|---|---|---|\n");
    for (step, example, meaning) in [
        ("$", "lines.$.sku", "the first element that the filter matched"),
        ("$[]", "lines.$[].sku", "each element"),
        ("$[id]", "lines.$[big].sku", "each element that the filter of this name in `ARRAYFILTERS` matches"),
    ] {
        out.push_str(&format!("| `{step}` | `{example}` | {meaning} |\n"));
    }
}

fn filters(out: &mut String) {
    out.push_str(
        "A filter is an object of paths with what is asked there, all of which must hold: a value to be equal to, a \
         regular expression, or an object of operators.\n\n```json\n{\"age\": {\"$gte\": 18, \"$lt\": 65}, \"city\": \
         \"Paris\", \"$or\": [{\"vip\": true}, {\"orders\": {\"$size\": 3}}]}\n```\n\nWhere a path ends in an array, \
         the array itself is asked and each of its elements, and one is enough; `$size`, `$exists` and `$elemMatch` \
         ask the array only. `$gt` and its like compare values of one type only.\n",
    );
    for (name, operators) in FIELD {
        family(out, name);
        table(out, "operator", &operators.iter().map(|o| [o.name, o.operand, o.summary]).collect::<Vec<_>>());
    }
    out.push_str("\n### In place of a path\n\n");
    table(out, "operator", &TREE.iter().map(|o| [o.name, o.operand, o.summary]).collect::<Vec<_>>());
    out.push_str(
        "\nRegular expressions are PCRE's as far as they can be matched in linear time; `$options` are some of `imsxu`.\n",
    );
}

fn schemas(out: &mut String) {
    out.push_str(
        "`{\"$jsonSchema\": schema}` asks a document whether it fits a schema in MongoDB's dialect, which is draft 4 of \
         JSON Schema with `bsonType`. The schema of a collection ([DOC.CREATE](commands.md#doccreate)) is another thing: \
         JSON Schema 2020-12.\n",
    );
    for (name, keywords) in KEYWORDS {
        family(out, name);
        out.push_str("| keyword | |\n|---|---|\n");
        for keyword in *keywords {
            out.push_str(&format!("| `{}` | {} |\n", keyword.name, keyword.summary));
        }
    }
}

fn updates(out: &mut String) {
    out.push_str(
        "An update is an object of operators, each with an object of paths and operands; or a whole document that takes \
         the other's place; or a [pipeline](#pipelines-of-updates). Two changes of one path, or of a path and one inside \
         it, are refused.\n\n```json\n{\"$inc\": {\"visits\": 1}, \"$push\": {\"seen\": {\"$each\": [7], \"$slice\": \
         -10}}}\n```\n",
    );
    for (name, operators) in update::OPERATORS {
        family(out, name);
        table(out, "operator", &operators.iter().map(|o| [o.name, o.operand, o.summary]).collect::<Vec<_>>());
    }
    out.push_str("\n### Beside $each\n\n`$push` takes them all, in any order, and does them in this one; `$addToSet` takes `$each`.\n\n");
    table(out, "modifier", &update::MODIFIERS.iter().map(|m| [m.name, m.operand, m.summary]).collect::<Vec<_>>());
}

fn update_stages(out: &mut String) {
    out.push_str(
        "An update that is an array is a pipeline: each stage makes a document of the one before it, with \
         [expressions](#expressions).\n\n```json\n[{\"$set\": {\"total\": {\"$multiply\": [\"$price\", \"$amount\"]}}}, \
         {\"$unset\": \"draft\"}]\n```\n\n| stage | |\n|---|---|\n",
    );
    for stage in update::STAGES {
        out.push_str(&format!("| `{}` | {} |\n", stage.name, stage.summary));
    }
}

fn projections(out: &mut String) {
    out.push_str(
        "A projection (`PROJECT`) is an object of paths. Those with `1` or `true` are kept, or those with `0` or `false` \
         are left out; only `_id`, which is kept by itself, may differ. Any other value is an [expression](#expressions) \
         that the member is computed by.\n\n",
    );
    let mut rows = vec![["path.$", "1", "The first element of the array that the filter matched, as an array."]];
    rows.extend(project::OPERATORS.iter().map(|o| [o.name, o.operand, o.summary]));
    table(out, "operator", &rows);
}

fn stages(out: &mut String) {
    out.push_str(
        "A pipeline ([DOC.AGGREGATE](commands.md#docaggregate)) is an array of stages, each of which takes the documents \
         that the one before it makes.\n\n```json\n[{\"$match\": {\"state\": \"paid\"}}, {\"$group\": {\"_id\": \
         \"$city\", \"total\": {\"$sum\": \"$price\"}}}]\n```\n\n| stage | | where |\n|---|---|---|\n",
    );
    for stage in STAGES.iter().flat_map(|family| family.iter()) {
        let place = match stage.place {
            Place::Anywhere => "anywhere",
            Place::First => "first",
            Place::Last => "last",
        };
        out.push_str(&format!("| `{}` | {} | {place} |\n", stage.name, stage.summary));
    }
}

fn accumulators(out: &mut String) {
    out.push_str(
        "What `$group` and its like make of the values of several documents.\n\n| accumulator | |\n|---|---|\n",
    );
    for accumulator in ACCUMULATORS.iter().flat_map(|family| family.iter()) {
        out.push_str(&format!("| `{}` | {} |\n", accumulator.name, accumulator.summary));
    }
}

fn expressions(out: &mut String) {
    out.push_str(
        "An expression computes a value: in `$expr`, in projections and in pipelines. `\"$path\"` is what is there in the \
         document, `\"$$name\"` a variable, an object with one operator is what the operator computes, and anything else \
         is itself, with expressions inside. An operator that takes one argument takes it with or without brackets. Null \
         and missing arguments make most results null.\n\n```json\n{\"$cond\": [{\"$gt\": [\"$stock\", 0]}, \"$price\", \
         null]}\n```\n\n| variable | |\n|---|---|\n",
    );
    for (name, summary) in expression::VARIABLES {
        out.push_str(&format!("| `{name}` | {summary} |\n"));
    }
    for (name, operators) in expression::OPERATORS {
        family(out, name);
        let operands: Vec<String> = operators.iter().map(expression::Operator::operand).collect();
        let rows = operators.iter().zip(&operands).map(|(o, operand)| [o.name, operand.as_str(), o.summary]);
        table(out, "operator", &rows.collect::<Vec<_>>());
    }
}
