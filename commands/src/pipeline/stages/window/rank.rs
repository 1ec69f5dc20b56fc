//! `$rank`, `$denseRank` and `$documentNumber`: a row's place in its partition.

use veddb_storage::document::expression::Scope;
use veddb_storage::document::{Value, ValueRef};

use super::{At, Course, Function, Read, Standing, WindowOperator};
use crate::pipeline::{Failure, Running};

pub(super) const OPERATORS: &[WindowOperator] = &[
    WindowOperator {
        name: "$rank",
        summary: "How many rows of the partition are before those that are equal in the order, and one.",
        parse: |_, operand, standing| parse(operand, standing, Kind::Rank),
    },
    WindowOperator {
        name: "$denseRank",
        summary: "How many different rows in the order there are up to this one.",
        parse: |_, operand, standing| parse(operand, standing, Kind::Dense),
    },
    WindowOperator {
        name: "$documentNumber",
        summary: "The row's number in its partition, from 1.",
        parse: |_, operand, standing| parse(operand, standing, Kind::Number),
    },
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Rank,
    Dense,
    Number,
}

fn parse(operand: ValueRef<'_>, standing: Standing<'_>, kind: Kind) -> Read {
    if !matches!(operand, ValueRef::Object(object) if object.is_empty()) {
        return Err("takes an empty object".into());
    }
    standing.no_window()?;
    if standing.sort.is_none_or(|sort| sort.keys().len() != 1) {
        return Err("needs a sortBy of one key".into());
    }
    Ok(Box::new(Place(kind)))
}

#[derive(Debug)]
struct Place(Kind);

impl Function for Place {
    fn argument(&self, _: &Scope<'_>) -> Result<Option<Value>, String> {
        Ok(None)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        Ok(Box::new(Counting { kind: self.0, rows: 0, place: 0 }))
    }

    fn looks_ahead(&self) -> bool {
        false
    }
}

struct Counting {
    kind: Kind,
    rows: i64,
    place: i64,
}

impl Course for Counting {
    fn take(&mut self, _: Option<Value>, at: &At<'_>) -> Result<(), String> {
        self.rows += 1;
        match self.kind {
            Kind::Number => self.place = self.rows,
            _ if at.tied => {}
            Kind::Rank => self.place = self.rows,
            Kind::Dense => self.place += 1,
        }
        Ok(())
    }

    fn give(&mut self, _: &Running<'_>) -> Result<Option<Value>, Failure> {
        Ok(Some(Value::integer(self.place)))
    }
}
