//! DOC.INSERT.

use veddb_storage::document::json::ParsedDocument;

use super::{new_collection_name, new_document};
use crate::args::Args;
use crate::context::{Phased, Prepared, ReadContext, Step, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.INSERT",
    group: Group::Document,
    summary: "Inserts documents; all of them or, at the first that cannot be, none.",
    complexity: "O(log N) of the collection's documents, for each document",
    arity: -3,
    args: &[Arg::collection(), Arg::json("doc").multiple(), Arg::word("UNORDERED")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "an array of ids; with UNORDERED of an id or an error for each document",
    examples: &[
        (r#"DOC.INSERT users '{"_id":7,"name":"Ada"}'"#, "1) \"7\""),
        (
            r#"DOC.INSERT users '{"_id":7}' '{"_id":8}' UNORDERED"#,
            "1) (error) DUPKEY index _id_ of collection users has the key \"7\" already\n2) \"8\"",
        ),
    ],
    run: Run::Write(insert),
    ..Command::BLANK
};

fn insert(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = new_collection_name(args, 1)?;
    // The keyword cannot be taken for a document: it is not JSON.
    let unordered = args.is(args.len() - 1, "UNORDERED");
    let texts = args.from(2);
    let texts = if unordered { texts.split_last().map_or(texts, |(_, rest)| rest) } else { texts };
    if texts.is_empty() {
        return Err(CommandError::arity("doc.insert"));
    }
    let documents = texts.iter().map(|text| new_document(text, context.limits));
    if unordered {
        let documents: Vec<_> = documents.map(Some).collect();
        return Ok(Prepared::Phased(Box::new(Unordered { db, name, replies: Vec::new(), documents, next: 0 })));
    }
    let documents = documents.collect::<Result<Vec<_>, _>>()?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        let collection = transaction.collection_or_create(db, &name)?;
        let mut ids = Vec::with_capacity(documents.len());
        for document in documents {
            transaction.insert(collection, &document.id, document.body)?;
            ids.push(Reply::Bulk(document.id.into()));
        }
        Ok(Reply::Array(ids))
    })))
}

/// Each document in a unit of its own.
struct Unordered {
    db: u8,
    name: String,
    documents: Vec<Option<Result<ParsedDocument, CommandError>>>,
    next: usize,
    replies: Vec<Reply>,
}

impl Phased for Unordered {
    fn next(
        &mut self,
        _context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        self.replies.extend(before.map(|outcome| outcome.unwrap_or_else(Reply::Error)));
        loop {
            let Some(document) = self.documents.get_mut(self.next).and_then(Option::take) else {
                return Ok(Step::Done(Reply::Array(std::mem::take(&mut self.replies))));
            };
            self.next += 1;
            match document {
                Ok(document) => {
                    let (db, name) = (self.db, self.name.clone());
                    return Ok(Step::Commit(Box::new(move |transaction| {
                        let collection = transaction.collection_or_create(db, &name)?;
                        transaction.insert(collection, &document.id, document.body)?;
                        Ok(Reply::Bulk(document.id.into()))
                    })));
                }
                Err(error) => self.replies.push(Reply::Error(error)),
            }
        }
    }
}
