//! The part of the container runtime interface (CRI, version 1) that a pod sandbox needs.
//!
//! Messages and numbers of fields are those of `api.proto` in `k8s.io/cri-api`; fields that are not here are
//! skipped by either side.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// No call takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
const RUNTIME: &str = "/runtime.v1.RuntimeService/";
const IMAGES: &str = "/runtime.v1.ImageService/";

/// A connection to a container runtime.
pub struct Cri {
    runtime: Runtime,
    channel: Channel,
}

/// The config of a pod sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxConfig {
    /// Its name.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<PodSandboxMetadata>,
    /// The pod's annotations.
    #[prost(map = "string, string", tag = "7")]
    pub annotations: HashMap<String, String>,
    /// Settings for Linux only.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<LinuxPodSandboxConfig>,
}

/// Names of a pod sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The pod's UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
}

/// The Linux part of a [`PodSandboxConfig`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LinuxPodSandboxConfig {
    /// The folder of cgroups that the pod's are made in.
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
}

/// The status of a pod sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatus {
    /// 0 is ready, 1 is not.
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// Its place in the network.
    #[prost(message, optional, tag = "5")]
    pub network: Option<PodSandboxNetworkStatus>,
}

/// The network part of a [`PodSandboxStatus`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxNetworkStatus {
    /// The first address.
    #[prost(string, tag = "1")]
    pub ip: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

/// The body of every request and answer that is nothing but a sandbox's ID.
#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxId {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bool, tag = "2")]
    verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<PodSandboxStatus>,
    #[prost(map = "string, string", tag = "2")]
    info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandboxId>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RuntimeStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    conditions: Vec<RuntimeCondition>,
}

/// Something that a runtime needs before it takes pods.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeCondition {
    /// `RuntimeReady` or `NetworkReady`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Whether the condition holds.
    #[prost(bool, tag = "2")]
    pub holds: bool,
    /// Why it is not so.
    #[prost(string, tag = "4")]
    pub message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

impl Cri {
    /// A connection to the runtime at `socket`, made with the first call and again when it broke.
    ///
    /// # Panics
    /// When no event loop can be made.
    pub fn new(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("an event loop can be made");
        let channel = {
            let _inside = runtime.enter();
            let uri = format!("unix://{}", socket.display());
            Endpoint::from_shared(uri).expect("a socket's path is a URI").timeout(PATIENCE).connect_lazy()
        };
        Self { runtime, channel }
    }

    fn call<Q, A>(&self, service: &str, method: &str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = format!("{service}{method}").parse().expect("a method's name is a path");
        let mut client = Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let answer = client.unary(tonic::Request::new(request), path, ProstCodec::default()).await?;
            Ok(answer.into_inner())
        })
    }

    /// The conditions under which the runtime takes pods.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn conditions(&self) -> Result<Vec<RuntimeCondition>, Status> {
        let answer: StatusResponse = self.call(RUNTIME, "Status", Empty {})?;
        Ok(answer.status.unwrap_or_default().conditions)
    }

    /// Returns whether the runtime has an image.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn has_image(&self, name: &str) -> Result<bool, Status> {
        let image = Some(ImageSpec { image: name.to_owned() });
        let answer: ImageStatusResponse = self.call(IMAGES, "ImageStatus", ImageStatusRequest { image })?;
        Ok(answer.image.is_some())
    }

    /// Makes a pod sandbox, which includes ADD for its network, and returns its ID.
    ///
    /// # Errors
    /// The runtime's reason.
    pub fn run_pod_sandbox(&self, config: PodSandboxConfig) -> Result<String, Status> {
        let request = RunPodSandboxRequest { config: Some(config) };
        self.call::<_, PodSandboxId>(RUNTIME, "RunPodSandbox", request).map(|answer| answer.id)
    }

    /// A pod sandbox's status, and the path of its network namespace.
    ///
    /// # Errors
    /// The runtime's reason.
    ///
    /// # Panics
    /// When the answer lacks either.
    pub fn pod_sandbox_status(&self, id: &str) -> Result<(PodSandboxStatus, String), Status> {
        let request = PodSandboxStatusRequest { id: id.to_owned(), verbose: true };
        let mut answer: PodSandboxStatusResponse = self.call(RUNTIME, "PodSandboxStatus", request)?;
        let info = answer.info.remove("info").expect("a verbose answer has info");
        let info: serde_json::Value = serde_json::from_str(&info).expect("info is JSON");
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array().expect("a container's spec");
        let network = namespaces.iter().find(|namespace| namespace["type"] == "network");
        let path = network.and_then(|namespace| namespace["path"].as_str()).unwrap_or_default();
        Ok((answer.status.expect("a status"), path.to_owned()))
    }

    /// The IDs of all pod sandboxes that the runtime knows.
    ///
    /// # Errors
    /// The runtime's reason.
    pub fn pod_sandboxes(&self) -> Result<Vec<String>, Status> {
        let answer: ListPodSandboxResponse = self.call(RUNTIME, "ListPodSandbox", Empty {})?;
        Ok(answer.items.into_iter().map(|sandbox| sandbox.id).collect())
    }

    /// Ends a pod sandbox, which includes DEL for its network.
    ///
    /// # Errors
    /// The runtime's reason.
    pub fn stop_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        self.call::<_, Empty>(RUNTIME, "StopPodSandbox", PodSandboxId { id: id.to_owned() }).map(drop)
    }

    /// Forgets a pod sandbox that was stopped.
    ///
    /// # Errors
    /// The runtime's reason.
    pub fn remove_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        self.call::<_, Empty>(RUNTIME, "RemovePodSandbox", PodSandboxId { id: id.to_owned() }).map(drop)
    }
}
