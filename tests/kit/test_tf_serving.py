"""The files of export/tf_serving, against what reads them."""

import copy
import http.server
import pathlib
import shutil
import subprocess
import threading

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from tests.runs import ROOT
from tf_metagan import export
from tf_metagan.exporting import warmup

KIT = ROOT / "export" / "tf_serving"

# Of tensorflow_model_server, model_servers/main.cc of its sources.
SERVER_FLAGS = set(
    """
    allow_version_labels_for_unavailable_models batching_parameters_file
    enable_batching enable_model_warmup enable_per_model_batching_parameters
    enable_serialization_as_tensor_content file_system_poll_wait_seconds
    grpc_channel_arguments grpc_max_threads load_retry_interval_micros
    max_num_load_retries model_base_path model_config_file
    model_config_file_poll_wait_seconds model_name monitoring_config_file
    num_load_threads num_request_iterations_for_warmup num_unload_threads
    per_process_gpu_memory_fraction port rest_api_enable_cors_support
    rest_api_num_threads rest_api_port rest_api_timeout_in_ms saved_model_tags
    ssl_config_file tensorflow_inter_op_parallelism
    tensorflow_intra_op_parallelism tensorflow_session_parallelism
    xla_cpu_compilation_enabled xla_gpu_compilation_enabled
    """.split()
)

# Messages that the wheel of tensorflow-serving-api lacks: {message: {field:
# (number, type)}}, of the server's session_bundle_config.proto and
# monitoring_config.proto.
_INT64, _BOOL = ".google.protobuf.Int64Value", ".google.protobuf.BoolValue"
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, _INT64),
        "batch_timeout_micros": (2, _INT64),
        "max_enqueued_batches": (3, _INT64),
        "num_batch_threads": (4, _INT64),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, _BOOL),
        "max_execution_batch_size": (9, _INT64),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, ".kit.PrometheusConfig")},
}


@pytest.fixture(scope="module")
def message():
    """Return a new message of one of MESSAGES by its name."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="kit.proto",
        package="kit",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in MESSAGES.items():
        made = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind.startswith("repeated ")
            kind = kind.removeprefix("repeated ")
            label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
            added = made.field.add(name=field, number=number, label=label)
            if kind.startswith("."):
                added.type_name = kind
            else:
                added.type = f"TYPE_{kind.upper()}"
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"kit.{name}")
    )()


def parsed(name, empty):
    return text_format.Parse((KIT / name).read_text(), empty)


def yaml_documents(name):
    return list(yaml.safe_load_all((KIT / name).read_text()))


# Text protos.


def models():
    """Return the models of models.config."""
    protos = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="pip install --no-deps tensorflow-serving-api",
    )
    config = parsed("models.config", protos.ModelServerConfig())
    return config.model_config_list.config


def test_models_are_where_the_exporter_writes_them():
    for model in models():
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"
    assert [model.name for model in models()] == ["mnist"]


def test_labels_of_the_comment_are_what_the_server_reads():
    text = (KIT / "models.config").read_text()
    lines = text.replace("# model_version_policy", "model_version_policy")
    lines = lines.replace("# version_labels", "version_labels")
    models()
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(
        lines, model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    loaded = list(model.model_version_policy.specific.versions)
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert sorted(model.version_labels.values()) == loaded


def test_monitoring_is_on_the_path_that_is_scraped(message):
    config = parsed("monitoring.config", message("MonitoringConfig"))
    assert config.prometheus_config.enable
    _, deployment, _ = yaml_documents("kubernetes.yaml")
    scraped = deployment["spec"]["template"]["metadata"]["annotations"]
    assert scraped["prometheus.io/path"] == config.prometheus_config.path


def test_batches_fit_the_export_and_pad(message):
    config = parsed("batching_params.pbtxt", message("BatchingParameters"))
    most = export.ExportConfig().max_tasks
    assert 1 < config.max_batch_size.value <= most
    assert config.pad_variable_length_inputs
    assert config.max_enqueued_batches.value > 0
    assert not config.allowed_batch_sizes
    assert not config.enable_large_batch_splitting.value


def test_unknown_settings_are_noticed(message):
    with pytest.raises(text_format.ParseError, match="pad_inputs"):
        text_format.Parse("pad_inputs: true", message("BatchingParameters"))


def test_warm_up_is_of_signatures_that_a_batching_server_cannot_run(toy):
    """Why batching_params.pbtxt tells to take the warm-up file away."""
    content = (toy.folder / "assets.extra" / warmup.FILE).read_bytes()
    names = [name for name in toy.model.signatures if name.encode() in content]
    assert "serving_default" in names
    assert "adapt_and_sample_batch" not in names


# Docker.


def compose():
    (content,) = yaml_documents("compose.yaml")
    return content["services"]


def check_container(command, mounts, image):
    """Check what compose and Kubernetes have in common.

    Args:
      command: arguments of the server.
      mounts: paths in the container.
      image: name and tag.
    """
    given = dict(word.removeprefix("--").split("=", 1) for word in command)
    assert set(given) <= SERVER_FLAGS
    assert given["model_config_file"] == "/config/models.config"
    assert given["monitoring_config_file"] == "/config/monitoring.config"
    assert given["tensorflow_intra_op_parallelism"] == "1"
    for name in ("model_config_file", "monitoring_config_file"):
        assert (KIT / pathlib.Path(given[name]).name).exists()
    for model in models():
        assert str(pathlib.Path(model.base_path).parent) in mounts
    name, tag = image.split(":")
    assert name == "tensorflow/serving"
    assert tag != "latest"


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_compose_runs_the_server_on_the_exported_models(name):
    service = compose()[name]
    mounts = [volume.split(":") for volume in service["volumes"]]
    check_container(
        service["command"],
        [inside for _, inside, _ in mounts],
        service["image"],
    )
    assert all(mode == "ro" for *_, mode in mounts)
    sources = {inside: (KIT / here).resolve() for here, inside, _ in mounts}
    assert sources["/models"] == ROOT / "export" / "models"
    assert sources["/config"] == KIT
    # To this machine only.
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]


def test_compose_gives_the_gpu_service_a_gpu_and_the_same_version():
    cpu, gpu = compose()["cpu"], compose()["gpu"]
    assert gpu["image"] == cpu["image"] + "-gpu"
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "deploy" not in cpu


class _Server(http.server.BaseHTTPRequestHandler):
    good = "/v1/models/mnist/metadata"

    def do_GET(self):
        self.send_response(200 if self.path == self.good else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.skipif(
    not shutil.which("bash"), reason="the health check needs bash"
)
def test_health_check_of_compose_asks_for_the_model(monkeypatch):
    start, *words = compose()["cpu"]["healthcheck"]["test"]
    assert start == "CMD"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        words[-1] = words[-1].replace("8501", port)

        def code():
            return subprocess.run(words, timeout=20, check=False).returncode

        assert code() == 0
        monkeypatch.setattr(_Server, "good", "/elsewhere")
        assert code() != 0
        server.shutdown()
    assert code() != 0  # nobody listens


# Kubernetes.


def on_gpu(deployment):
    """Apply kubernetes-gpu.yaml as `kubectl patch` does."""
    (patch,) = yaml_documents("kubernetes-gpu.yaml")
    return merged(copy.deepcopy(deployment), patch)


def merged(base, patch):
    """Merge strategically: containers by name, other lists are replaced."""
    for key, value in patch.items():
        if isinstance(value, dict):
            base[key] = merged(base.get(key, {}), value)
        elif key == "containers":
            (container,) = base[key]
            (changes,) = value
            assert changes["name"] == container["name"]
            base[key] = [merged(container, changes)]
        else:
            base[key] = value
    return base


def deployments():
    _, deployment, _ = yaml_documents("kubernetes.yaml")
    return {"cpu": deployment, "gpu": on_gpu(deployment)}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_manifests_fit_the_schema_of_kubernetes(kind):
    schema = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate"
    )
    claim, _, service = yaml_documents("kubernetes.yaml")
    for document in (claim, deployments()[kind], service):
        schema.validate(document, schema.latest_version(), strict=True)
    wrong = deployments()[kind]
    (container,) = wrong["spec"]["template"]["spec"]["containers"]
    container["argz"] = container.pop("args")
    with pytest.raises(schema.ValidationError, match="argz"):
        schema.validate(wrong, schema.latest_version(), strict=True)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_kubernetes_runs_the_server_on_the_claimed_models(kind):
    claim, _, service = yaml_documents("kubernetes.yaml")
    deployment = deployments()[kind]
    template = deployment["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    check_container(
        container["args"],
        [m["mountPath"] for m in mounts.values()],
        container["image"],
    )
    assert all(m["readOnly"] for m in mounts.values())
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == set(mounts)
    claimed = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claimed == claim["metadata"]["name"]
    # Labels that belong together, ports that exist.
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in service["spec"]["ports"]:
        assert port["port"] == ports[port["targetPort"]]


def test_operations_at_a_time_are_the_cores_of_the_limit():
    (container,) = deployments()["cpu"]["spec"]["template"]["spec"][
        "containers"
    ]
    cores = container["resources"]["limits"]["cpu"]
    assert f"--tensorflow_inter_op_parallelism={cores}" in container["args"]


def test_probes_tell_busy_from_dead():
    (container,) = deployments()["cpu"]["spec"]["template"]["spec"][
        "containers"
    ]
    ready = container["readinessProbe"]["httpGet"]
    assert ready["port"] == "rest"
    assert ready["path"] in {
        f"/v1/models/{model.name}/metadata" for model in models()
    }
    # A REST call would wait behind requests.
    assert container["livenessProbe"]["tcpSocket"] == {"port": "grpc"}
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 120


def test_gpu_changes_only_what_a_gpu_needs():
    changed = deployments()
    cpu, gpu = (
        d["spec"]["template"]["spec"]["containers"][0] for d in changed.values()
    )
    assert gpu["image"] == cpu["image"] + "-gpu"
    assert gpu["resources"]["limits"].pop("nvidia.com/gpu") == 1
    assert {k for k in gpu if gpu[k] != cpu.get(k)} == {"image", "env"}


def test_config_map_of_the_comment_holds_the_files_that_are_mounted():
    text = (KIT / "kubernetes.yaml").read_text()
    _, deployment, _ = yaml_documents("kubernetes.yaml")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    name = volumes[1]["configMap"]["name"]
    assert f"kubectl create configmap {name} " in text
    for file in ("models.config", "monitoring.config"):
        assert f"--from-file=export/tf_serving/{file}" in text
        assert (KIT / file).exists()
