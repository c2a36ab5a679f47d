//! `CNI_ARGS`: `KEY=VALUE` pairs, separated by semicolons, in any order.

use crate::failure::{Answer, Failure, code};

/// `CNI_ARGS`, parsed when a plugin reads a key, so that a plugin which reads none accepts any text. Unknown keys are
/// ignored, with or without `IgnoreUnknown`: runtimes always send those of Kubernetes (`K8S_POD_NAME`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments(String);

impl Arguments {
    /// Wraps the variable's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the value of a key that changes what the plugin does. An empty value counts as absent.
    ///
    /// # Errors
    /// Code 4 with a pair that has no `=`.
    pub fn get(&self, key: &str) -> Answer<Option<&str>> {
        match self.parts().find(|part| !part.contains('=')) {
            Some(part) => {
                let sentence = format!("CNI_ARGS: invalid pair {part:?}: want KEY=VALUE;KEY=VALUE");
                Err(Failure::new(code::INVALID_ENVIRONMENT, sentence))
            }
            None => Ok(self.find(key)),
        }
    }

    /// Returns the pod's Kubernetes namespace, if the runtime sends it.
    pub fn pod_namespace(&self) -> Option<&str> {
        self.find("K8S_POD_NAMESPACE")
    }

    /// Returns the pod as `namespace/name`, if the runtime sends it.
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
    fn an_invalid_pair_is_named_when_a_key_is_read_and_does_not_hide_the_pod() {
        let arguments = Arguments::new("K8S_POD_NAME=web-0;nonsense;K8S_POD_NAMESPACE=shop");
        assert!(arguments.get("A").unwrap_err().to_string().contains("\"nonsense\""));
        assert_eq!(arguments.pod().as_deref(), Some("shop/web-0"));
    }
}
