//! The node as an operator or an agent sees it.
