//! `CNI_ARGS`: `KEY=VALUE` pairs, separated by semicolons, in any order.

use crate::error::{Error, Result};

/// `CNI_ARGS`, taken apart when a plugin asks for a key: what a plugin does not look at cannot fail it. Keys that it does
/// not know are none of its business: runtimes always send Kubernetes' own (`K8S_POD_NAME`), with or without
/// `IgnoreUnknown`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments(String);

impl Arguments {
    /// The variable's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value of `key`, which changes what the plugin does; an empty value counts as absent.
    ///
    /// # Errors
    /// [`Error::InvalidArguments`] with a part that has no `=`.
    pub fn get(&self, key: &str) -> Result<Option<&str>> {
        match self.parts().find(|part| !part.contains('=')) {
            Some(part) => Err(Error::InvalidArguments { pair: part.to_owned() }),
            None => Ok(self.find(key)),
        }
    }

    /// The pod's Kubernetes namespace, where the runtime told.
    pub fn pod_namespace(&self) -> Option<&str> {
        self.find("K8S_POD_NAMESPACE")
    }

    /// The pod as Kubernetes names it: `namespace/name`.
    pub fn pod(&self) -> Option<String> {
        Some(format!("{}/{}", self.pod_namespace()?, self.find("K8S_POD_NAME")?))
    }

    fn find(&self, key: &str) -> Option<&str> {
        let pairs = self.parts().filter_map(|part| part.split_once('='));
        pairs.filter(|(name, value)| *name == key && !value.is_empty()).map(|(_, value)| value).next()
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').filter(|part| !part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_in_any_order() {
        let arguments =
            Arguments::new("K8S_POD_NAME=web-0;IgnoreUnknown=1;IP=10.0.0.7;K8S_POD_NAMESPACE=shop;MAC=");
        assert_eq!(arguments.get("IP").unwrap(), Some("10.0.0.7"));
        assert_eq!(arguments.get("MAC").unwrap(), None);
        assert_eq!(arguments.pod().as_deref(), Some("shop/web-0"));
    }

    #[test]
    fn a_value_may_contain_an_equals_sign() {
        assert_eq!(Arguments::new("A=b=c").get("A").unwrap(), Some("b=c"));
    }

    #[test]
    fn a_part_that_is_no_pair_is_named_when_a_key_is_asked_for_and_hides_no_pod() {
        let arguments = Arguments::new("K8S_POD_NAME=web-0;nonsense;K8S_POD_NAMESPACE=shop");
        assert!(arguments.get("A").unwrap_err().to_string().contains("\"nonsense\""));
        assert_eq!(arguments.pod().as_deref(), Some("shop/web-0"));
    }
}
