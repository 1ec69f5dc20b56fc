//! `$expr`: what an expression says of the whole document.

use super::super::codec::{RawObject, ValueRef};
use super::super::expression::{Expression, ExpressionLimits, Root, Scope};
use super::{Asking, DocumentTest, FilterError, Node, Parser};

/// Reads `$expr`.
pub(super) fn parse(parser: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    let limits = parser.limits();
    let limits = ExpressionLimits { nodes: limits.nodes, regex_size: limits.regex_size };
    let expression = Expression::parse_with(operand, &limits, parser.variables())
        .map_err(|error| FilterError(format!("$expr: {error}")))?;
    Ok(Some(Node::Document(Box::new(expression))))
}

impl DocumentTest for Expression {
    fn passes(&self, document: RawObject<'_>, asking: &Asking<'_>) -> bool {
        let now_ms = i64::try_from(asking.now_ms).unwrap_or(i64::MAX);
        let scope = Scope { root: Root::Packed(document), now_ms, variables: asking.variables, watch: asking.watch };
        let truth = match asking.work {
            Some(work) => self.is_true_within(&scope, work),
            None => self.is_true(&scope),
        };
        truth.unwrap_or_else(|error| {
            asking.fail(FilterError(format!("$expr: {error}")));
            false
        })
    }
}
