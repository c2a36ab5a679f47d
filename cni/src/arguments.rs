//! `CNI_ARGS`: `KEY=VALUE` pairs, separated by semicolons, in any order.

use crate::error::{Error, Result};

/// The pairs of `CNI_ARGS`. Keys that a plugin does not know are none of its business: runtimes always
/// send Kubernetes' own (`K8S_POD_NAME`), with or without `IgnoreUnknown`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(String, String)>);

impl Arguments {
    /// Takes the variable's text apart.
    ///
    /// # Errors
    /// [`Error::InvalidArguments`] with the part that has no `=`.
    pub fn parse(text: &str) -> Result<Self> {
        text.split(';')
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
                None => Err(Error::InvalidArguments { pair: pair.to_owned() }),
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The value of `key`; an empty value counts as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The pod as Kubernetes names it: `namespace/name`.
    pub fn pod(&self) -> Option<String> {
        Some(format!("{}/{}", self.get("K8S_POD_NAMESPACE")?, self.get("K8S_POD_NAME")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_in_any_order() {
        let arguments =
            Arguments::parse("K8S_POD_NAME=web-0;IgnoreUnknown=1;IP=10.0.0.7;K8S_POD_NAMESPACE=shop;MAC=")
                .unwrap();
        assert_eq!(arguments.get("IP"), Some("10.0.0.7"));
        assert_eq!(arguments.get("MAC"), None);
        assert_eq!(arguments.pod().as_deref(), Some("shop/web-0"));
    }

    #[test]
    fn a_value_may_contain_an_equals_sign() {
        assert_eq!(Arguments::parse("A=b=c").unwrap().get("A"), Some("b=c"));
    }

    #[test]
    fn what_is_no_pair_is_named() {
        assert!(Arguments::parse("A=b;nonsense").unwrap_err().to_string().contains("\"nonsense\""));
    }
}
