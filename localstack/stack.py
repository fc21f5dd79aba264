#!/usr/bin/env python3
"""The local stack: an emulator of AWS on this machine, with Ferrocart deployed to it.

    stack.py setup      installs the pinned tools into localstack/.venv*
    stack.py check      checks that the port is free, before the build
    stack.py start      starts the emulator in the background
    stack.py deploy     deploys the templates with the built functions
    stack.py seed       registers an admin and a customer, and creates products with stock
    stack.py run CMD    starts and deploys a stack on a free port, runs CMD, stops the stack (for tests)
    stack.py stop | status | url | greet | token
    stack.py sam-local  writes the files with which sam local runs functions in Docker against this stack

Several stacks can run at the same time: --name selects one, whose state is in localstack/.state/<name>/.
Only AWS_ENDPOINT_URL refers to the emulator: the same templates and functions run on AWS and on LocalStack.
"""

import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(os.path.abspath(__file__)).parent
ROOT = HERE.parent
EMULATOR = HERE / ".venv"
TOOLS = HERE / ".venv-sam"
REGION = "us-east-1"
DEFAULT_PORT = 4566
DEFAULT_HTTPS_PORT = 8443
PROGRESS_SECONDS = 5
STACK = "ferrocart"
PROXY = "https_proxy.py"
ALIAS = "live"  # the alias of the current version of each function
CAPABILITIES = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")

sys.path.insert(0, str(HERE))
from arguments import Parser
import https_proxy  # noqa: E402
from client import Api, ApiError  # noqa: E402


class CommandError(Exception):
    """An error that the user can correct. The message says how."""


STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", file=sys.stderr, flush=True)


# --- the tools ---------------------------------------------------------------------------------------------------------


def setup(_args=None):
    """Installs missing tools. A venv is up to date if its stamp is the hash of its requirements."""
    if not shutil.which("cargo"):
        raise CommandError("Rust is missing: install it from https://rustup.rs, then open a new shell.")
    wanted = [(EMULATOR, "requirements-emulator.txt", "the emulator"), (TOOLS, "requirements-tools.txt", "the SAM tools")]
    install([each for each in wanted if stamp(each[0]) != digest(each[1])])


def setup_release(_args=None):
    """Installs the tools and those that build for AWS."""
    setup()
    install_once(HERE / ".venv-release", "requirements-release.txt", "the release tools")


def setup_checkov(_args=None):
    """Installs checkov."""
    install_once(HERE / ".venv-checkov", "requirements-checkov.txt", "checkov")


def install_once(*wanted):
    install([wanted] if stamp(wanted[0]) != digest(wanted[1]) else [])


def setup_browser(_args=None):
    """Installs what tries the pages in a browser as well."""
    setup()
    wanted = (HERE / ".venv-browser", "requirements-browser.txt", "the browser tools")
    install([wanted] if stamp(wanted[0]) != digest(wanted[1]) else [])


def setup_storefront(_args=None):
    """Installs the tools that generate the client of a storefront and check its types."""
    install_once(HERE / ".venv-storefront", "requirements-storefront.txt", "the tools of the storefront")


def install(wanted):
    if not wanted:
        return
    try:
        import ensurepip  # noqa: F401 (a separate package on Debian)
        import venv  # noqa: F401
    except ImportError:
        raise CommandError("Python cannot create virtual environments here: run apt-get install -y python3-venv.") from None
    running = []
    for place, requirements, what in wanted:
        say(f"installing {what} into {place.relative_to(ROOT)} (once, about half a minute)")
        steps = [[sys.executable, "-m", "venv", "--clear", place],
                 [place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", HERE / requirements]]
        script = " && ".join(" ".join(f"'{word}'" for word in step) for step in steps)
        running.append((place, requirements, what, subprocess.Popen(["sh", "-c", script], stdout=2)))
    for place, requirements, what, process in running:
        if process.wait() != 0:
            raise CommandError(f"{what} could not be installed: see the output of pip above, then run make again.")
        (place / ".stamp").write_text(digest(requirements))


def stamp(place):
    return (place / ".stamp").read_text() if (place / ".stamp").exists() else None


def digest(requirements):
    return hashlib.sha256((HERE / requirements).read_bytes() + sys.version.encode()).hexdigest()


def in_the_venv():
    """Restarts the command in the emulator's Python, which has boto3."""
    python = EMULATOR / "bin/python"
    if Path(sys.prefix) == EMULATOR:
        return
    if not python.exists():
        raise CommandError("The tools are not installed yet: run python3 localstack/stack.py setup.")
    os.execv(python, [str(python), os.path.abspath(__file__), *sys.argv[1:]])


# --- one stack and its state -------------------------------------------------------------------------------------------


class Stack:
    def __init__(self, name):
        self.name = name
        self.folder = HERE / ".state" / name
        self.file = self.folder / "stack.json"
        self.state = json.loads(self.file.read_text()) if self.file.exists() else {}

    def save(self, **values):
        self.state.update(values)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self.state, indent=2))
        part.replace(self.file)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.state['port']}"

    @property
    def address(self):
        """The address at which clients call the API: that of the HTTPS proxy if it runs. HSTS does not apply to an IP address."""
        https = self.state.get("https")
        return f"https://127.0.0.1:{https['port']}" if https else self.endpoint

    @property
    def certificate(self):
        """The certificate of `address` if it is an HTTPS address."""
        return self.folder / https_proxy.CERTIFICATE if self.state.get("https") else None

    @property
    def log(self):
        return self.folder / "emulator.log"

    def running(self):
        """Whether the recorded emulator process exists and answers on its port."""
        return bool(self.state.get("pid")) and alive(self.state["pid"]) and answers(self.endpoint)

    def serves_https(self):
        """Whether the recorded HTTPS proxy exists and accepts connections."""
        https = self.state.get("https")
        return bool(https) and is_ours(https["pid"], PROXY) and in_use(https["port"])

    def must_run(self):
        if not self.running():
            raise CommandError("The local stack is not running: run make up.")
        if self.state.get("https") and not self.serves_https():
            raise CommandError("The HTTPS proxy of the local stack has ended: run make up HTTPS=1, or make up to use HTTP.")

    def must_be_deployed(self):
        self.must_run()
        if not self.state.get("url"):
            raise CommandError("The local stack is running but nothing is deployed to it: run make up.")

    def environment(self):
        """The environment with which a program uses only this stack: no profile and no real account."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.state["key"],
            "AWS_SECRET_ACCESS_KEY": self.state["secret"],
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service):
        import boto3
        from botocore.config import Config

        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=self.state["key"],
            aws_secret_access_key=self.state["secret"], config=Config(read_timeout=90, retries={"total_max_attempts": 1}))

    def api(self):
        self.must_be_deployed()
        return Api(self.state["url"])


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a child that exited and was not reaped
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return True


def answers(endpoint):
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


def wait_for(what, ready, seconds=30, pause=0.05):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = ready()
        if result:
            return result
        time.sleep(pause)
    raise CommandError(f"{what} did not become ready within {seconds} s: see make logs.")


# --- start and stop ----------------------------------------------------------------------------------------------------


def wanted_port(args):
    """The requested port; `None` if none is set. 0 selects a free one."""
    text = str(args.port) if getattr(args, "port", None) is not None else os.environ.get("GATEWAY_PORT") or os.environ.get("PORT")
    if not text:
        return None
    if not text.isdecimal() or int(text) > 65535:
        raise CommandError(f"PORT={text} is not a port: write a number from 1 to 65535, for example PORT=4567.")
    return int(text)


def wanted_https_port(args):
    """The requested port for HTTPS; `None` for HTTP only."""
    text = getattr(args, "https", None)
    if text in (None, "", "0"):
        return None
    if text == "1":
        return DEFAULT_HTTPS_PORT
    if not text.isdecimal() or not 1 < int(text) <= 65535:
        raise CommandError(f"HTTPS={text} is neither 1 nor a port: write HTTPS=1, or a port from 2 to 65535, for example HTTPS=9443.")
    return int(text)


def check(args):
    """Rejects a port that cannot be used. `make up` calls it before the build."""
    stack, port, https_port = Stack(args.name), wanted_port(args), wanted_https_port(args)
    own = (stack.state.get("https") or {}).get("port") if stack.serves_https() else None
    if https_port and https_port != own and in_use(https_port):
        raise CommandError(f"Port {https_port} is in use by another program: stop that one, or choose another port with HTTPS=9443.")
    if stack.running():
        if port not in (None, 0, stack.state["port"]):
            raise CommandError(f"The local stack is already running on port {stack.state['port']}: run make down first to start it on {port}.")
        return
    port = DEFAULT_PORT if port is None else port
    if port and in_use(port):
        raise CommandError(f"Port {port} is in use by another program: stop that one, or choose another port with PORT=4567.")


def start(args):
    stack, port = Stack(args.name), wanted_port(args)
    if stack.running():
        check(args)
        if bool(args.auth) == stack.state["auth"]:
            say(f"the emulator is already running on port {stack.state['port']}")
            serve_https(stack, wanted_https_port(args))
            return stack
        stop(args)
    else:
        check(args)
        if stack.state.get("pid"):
            say("the previous emulator ended without make down, so its data is lost: starting an empty shop")
    port = DEFAULT_PORT if port is None else port or free_port()
    stop_https(stack)
    shutil.rmtree(stack.folder, ignore_errors=True)
    (stack.folder / "tmp").mkdir(parents=True)
    # With --auth the deployer's key belongs to the root user, and each function runs under its own role.
    key, secret = ("ferrocart-deployer", secrets.token_hex(20)) if args.auth else ("test", "test")
    endpoint = f"http://127.0.0.1:{port}"
    # Functions inherit this clean environment. AWS_ENDPOINT_URL prevents calls to the real AWS.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(stack.folder / "tmp"),
        "TMPDIR": str(stack.folder / "tmp"),
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AUTH": "true" if args.auth else "false",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": os.environ.get("BIND_HOST", "127.0.0.1"),
        "MINISTACK_REGION": REGION,
        "S3_DATA_DIR": str(stack.folder / "tmp/s3"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    say(f"starting the emulator on port {port}" + (" with IAM enforced" if args.auth else ""))
    with open(stack.log, "wb") as log:
        process = subprocess.Popen(
            [EMULATOR / "bin/python", HERE / "emulator.py"], env=environment, cwd=stack.folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)
    stack.state = {}
    stack.save(port=port, pid=process.pid, key=key, secret=secret, auth=bool(args.auth), stack=STACK, bind=environment["BIND_HOST"])

    def ready():
        if process.poll() is not None:
            last = "\n".join(stack.log.read_text(errors="replace").splitlines()[-5:])
            raise CommandError(f"The emulator failed to start. The last lines of {stack.log}:\n{last}")
        return answers(endpoint)

    wait_for("The emulator", ready)
    serve_https(stack, wanted_https_port(args))
    return stack


def serve_https(stack, port):
    """Starts, moves or ends the HTTPS proxy of a running stack, and changes the address of the API accordingly."""
    if stack.serves_https() and stack.state["https"]["port"] == port:
        return
    stop_https(stack)
    if port:
        log = stack.folder / "https.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [EMULATOR / "bin/python", HERE / PROXY, "--host", stack.state["bind"], "--port", str(port), "--target", str(stack.state["port"]),
                 "--folder", stack.folder], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        stack.save(https={"port": port, "pid": process.pid})

        def ready():
            if process.poll() is not None:
                last = (log.read_text(errors="replace").splitlines() or ["it wrote no message"])[-1]
                raise CommandError(f"The HTTPS proxy failed to start: {last}")
            return in_use(port)

        wait_for("The HTTPS proxy", ready)
        say(f"serving HTTPS on port {port} with the certificate {os.path.relpath(stack.certificate)}")
    if stack.state.get("url"):
        stack.save(url=stack.address + urlsplit(stack.state["url"]).path)


def stop_https(stack):
    """Ends the HTTPS proxy and deletes its certificate and key."""
    https = stack.state.pop("https", None)
    if https and is_ours(https["pid"], PROXY):
        end(https["pid"])
        say("the HTTPS proxy is stopped")
    https_proxy.remove_certificate(stack.folder)
    if stack.file.exists():
        stack.save()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(args):
    """Stops the emulator and the function processes that it started, which are one process group."""
    stack = Stack(args.name)
    stop_https(stack)
    pid = stack.state.get("pid")
    if pid and is_ours(pid):
        end(pid)
        say("the emulator is stopped")
    shutil.rmtree(stack.folder / "tmp", ignore_errors=True)
    if stack.file.exists():
        stack.file.unlink()


def end(pid):
    """Ends a process and its group, and waits for its end."""
    for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience
        while alive(pid) and time.monotonic() < deadline:
            reap(pid)
            time.sleep(0.02)


def is_ours(pid, program="emulator.py"):
    """Whether this process runs this program of this tool. Process ids are reused after a restart of the machine."""
    try:
        return program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return alive(pid) and not Path("/proc").is_dir()


def reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


# --- deploy ------------------------------------------------------------------------------------------------------------


def deploy(args):
    in_the_venv()
    stack = Stack(args.name)
    stack.must_run()
    say("packing the functions")
    archives = package(args.profile)
    parameters = {
        "Local": "true",
        "Stage": "dev",
        "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "PaymentProvider": "simulated",
        "SenderAddress": "shop@ferrocart.example",
        "NetworkBurst": "1000000",  # all local clients have the same address
        "NetworkUnpaidOrders": "1000000",
        "AccountConcurrency": "100",  # each execution is a process on this machine
        "RetrySeconds": "5",  # shortens the wait for lost messages
        "LogLevel": os.environ.get("LOG_LEVEL", "info"),
        "Canary": "AllAtOnce",  # the emulator has no CodeDeploy
    } | dict(each.split("=", 1) for each in args.parameter)
    import templates

    template = templates.write(ROOT, archives, parameters, lambda name: archives / f"{name}.zip")
    version = deployed_version(template, parameters)
    if stack.state.get("version") == version and stack.state.get("url"):
        say(f"no changes since the last deployment: {stack.state['url']}")
        return
    say("deploying the templates with sam deploy")
    started = time.monotonic()
    command = [
        TOOLS / "bin/sam", "deploy", "--template-file", template, "--stack-name", STACK, "--region", REGION,
        "--config-file", HERE / "samconfig.toml", "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset",
        "--no-progressbar", "--capabilities", *CAPABILITIES,
        "--parameter-overrides", *[f"{name}={value}" for name, value in parameters.items()],
    ]
    with open(stack.folder / "deploy.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=stack.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"})
        show_progress(stack, process)
    if process.returncode != 0:
        if not stack.running():
            raise CommandError(f"The emulator exited during the deployment: see {stack.log}. Run make down, then make up.")
        lines = Path(log.name).read_text(errors="replace").splitlines()
        relevant = [line for line in lines if "FAILED" in line or "Error" in line] or lines
        raise CommandError("sam deploy failed; its complete output is in " + log.name + ":\n" + "\n".join(relevant[-12:]))
    say(f"sam deploy took {time.monotonic() - started:.1f} s")
    outputs = {each["OutputKey"]: each["OutputValue"]
               for each in stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0].get("Outputs", [])}
    put_gateway_responses(stack, outputs["ApiId"], parameters)
    stack.save(outputs=outputs, parameters=parameters, url=f"{stack.address}/_aws/execute-api/{outputs['ApiId']}/v1", version=None)
    rotate_signing_key(stack)
    api = stack.api()
    health = []

    def healthy():
        check_health(stack)
        health[:] = [api.call("GET", "/health", expect=range(100, 600))]
        return health[0].status == 200

    try:
        wait_for("GET /health", healthy, pause=0.2)
    except CommandError as error:
        raise CommandError(f"{error} It answered {health[0]}.") from None
    import releases

    releases.record(stack.client("dynamodb"), STACK, releases.now())
    stack.save(version=version)
    say(f"deployed: {stack.state['url']}")


def deployed_version(template, parameters):
    """Identifies a deployment: the templates, the zips beside them, and the parameters."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode() + Path(__file__).read_bytes())
    for file in [template, *sorted(template.parent.glob("functions/*/template.yaml")), *sorted(template.parent.glob("*.zip"))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def show_progress(stack, process):
    """Prints the number of deployed resources every few seconds until the deployment ends."""
    client, printed = stack.client("cloudformation"), None
    while True:
        try:
            process.wait(timeout=PROGRESS_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass
        try:
            done = sum(each["ResourceStatus"].endswith("_COMPLETE") for each in stack_resources(client, STACK))
        except Exception:  # the stack does not exist yet, or the emulator is busy: try again at the next check
            done = 0
        if done != printed:
            say(f"  {done} resources done" if done else "  uploading the functions")
            printed = done


def stack_resources(client, name):
    """Returns the resources of a stack and its nested stacks."""
    found, names = [], [name]
    while names:
        for page in client.get_paginator("list_stack_resources").paginate(StackName=names.pop()):
            found += page["StackResourceSummaries"]
            names += [each["PhysicalResourceId"] for each in page["StackResourceSummaries"]
                      if each["ResourceType"] == "AWS::CloudFormation::Stack" and each.get("PhysicalResourceId")]
    return found


def package(profile):
    """Copies each built function to the path that the templates name, zips changed ones, and returns the folder.

    sam would zip all functions at every deployment, which takes half a minute. So it gets copies of the templates that name the zips.
    """
    names = sorted(path.stem for path in ROOT.glob("functions/*/src/bin/*.rs"))
    built = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / profile
    missing = [name for name in names if not (built / name).exists()]
    if missing:
        raise CommandError(f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''} is not built: run make build.")
    place = ROOT / "target/lambda"

    def pack(name):
        source, target, archive = built / name, place / name / "bootstrap", place / f"{name}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and same(source.stat(), target.stat())):
            shutil.copy2(source, target)
            archive.unlink(missing_ok=True)
        if not (archive.exists() and archive.stat().st_mtime_ns == target.stat().st_mtime_ns):
            part = archive.with_suffix(".part")
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
                entry = zipfile.ZipInfo("bootstrap")  # without a timestamp, so that equal functions give equal zips
                entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
                file.writestr(entry, target.read_bytes(), compresslevel=1)
            os.utime(part, ns=(target.stat().st_mtime_ns,) * 2)
            part.replace(archive)

    with ThreadPoolExecutor() as workers:
        list(workers.map(pack, names))
    return place


def same(one, other):
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def put_gateway_responses(stack, api_id, parameters):
    """Sets each gateway response, because the emulator reads only paths from the API's document.

    On AWS, CloudFormation deploys them.
    """
    import templates

    template = templates.read_long(ROOT / templates.ROOT_TEMPLATE)
    body = template["Resources"]["Api"]["Properties"]["DefinitionBody"]
    responses = templates.Settings(template, parameters).resolve(body["x-amazon-apigateway-gateway-responses"])
    gateway = stack.client("apigateway")
    for kind, response in responses.items():
        gateway.put_gateway_response(
            restApiId=api_id, responseType=kind, statusCode=response["statusCode"],
            # The emulator serves the stage under a longer path than AWS does.
            responseParameters={name: value.replace("</v1/", f"</_aws/execute-api/{api_id}/v1/") for name, value in response["responseParameters"].items()},
            responseTemplates=response["responseTemplates"])
    gateway.create_deployment(restApiId=api_id, stageName="v1")


def rotate_signing_key(stack):
    """Runs the rotation that Secrets Manager starts on AWS. The emulator has no such timer."""
    secret = stack.client("secretsmanager").get_secret_value(SecretId=f"{STACK}/signing-key")
    if json.loads(secret["SecretString"]).get("keys"):
        return
    token = str(uuid.uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        call(stack, f"{STACK}-rotate-signing-key", {"SecretId": secret["ARN"], "ClientRequestToken": token, "Step": step})


def check_health(stack):
    """Runs the health check once. The schedule runs it every minute; until then the health would be unknown."""
    call(stack, f"{STACK}-check-health", {})


def call(stack, function, event):
    """Invokes a function and returns its response. Raises the error of the function."""
    try:
        result = stack.client("lambda").invoke(FunctionName=f"{function}:{ALIAS}", Payload=json.dumps(event).encode())
    except Exception as error:  # botocore creates its error classes at run time
        raise CommandError(f"{function} could not be invoked: {error}") from error
    payload = result["Payload"].read().decode()
    if result.get("FunctionError"):
        raise CommandError(f"{function} failed: {payload}")
    return json.loads(payload) if payload else None


# --- sample data -------------------------------------------------------------------------------------------------------


def sample():
    return json.loads((HERE / "sample-data.json").read_text())


def seed(args):
    """Creates the sample data through the public API. Only the first admin is granted by an invocation, which IAM authorizes.

    A repeated call changes nothing, because each request has a fixed idempotency key.
    """
    in_the_venv()
    stack = Stack(args.name)
    api, data = stack.api(), sample()
    for user in data["users"].values():
        api.register(user)
    admin = data["users"]["admin"]
    call(stack, f"{STACK}-grant-role", {"email": admin["email"], "role": "admin"})
    admin = api.log_in(admin["email"], admin["password"])
    for each in data["products"]:
        product = {name: each[name] for name in ("name", "description", "category", "sku", "tax_class", "weight_g")}
        product["price"] = {"amount": each["price"], "currency": "USD"}
        product["prices"] = [{"currency": "EUR", "amount": each["price_eur"]}]
        answer = admin.call("POST", "/products", product, key=f"sample-product-{each['sku']}", expect=(200, 201, 409))
        if answer.status != 409 and each["stock"]:
            admin.call("POST", f"/inventory/{answer.body['id']}/adjustments", {"delta": each["stock"], "reason": "first delivery"},
                       key=f"sample-stock-{each['sku']}")
    seed_prices(admin, data)
    say(f"sample data: {len(data['users'])} users, {len(data['products'])} products with stock, {len(data['markets'])} markets")


def seed_prices(admin, data):
    """Creates the markets with their tax rates and shipping methods, and the promotions."""
    for market in data["markets"]:
        name, currency = market["id"], market["currency"]
        body = {key: value for key, value in market.items() if key not in ("tax_rates", "shipping_methods")}
        admin.call("POST", "/markets", body, key=f"sample-market-{name}", expect=(200, 201, 409))
        for number, rate in enumerate(market["tax_rates"]):
            admin.call("POST", f"/markets/{name}/tax-rates", rate, key=f"sample-tax-rate-{name}-{number}", expect=(200, 201, 409))
        for number, method in enumerate(market["shipping_methods"]):
            amounts = {key: {"amount": method[key], "currency": currency} for key in ("price", "free_from") if key in method}
            admin.call("POST", f"/markets/{name}/shipping-methods", method | amounts, key=f"sample-shipping-method-{name}-{number}")
    for number, promotion in enumerate(data["promotions"]):
        admin.call("POST", "/promotions", promotion, key=f"sample-promotion-{number}")


# --- status and tokens -------------------------------------------------------------------------------------------------


def status(args):
    stack = Stack(args.name)
    if not stack.running():
        print("not running")
        return 1
    print(f"running on {stack.endpoint} (process {stack.state['pid']}, IAM {'enforced' if stack.state['auth'] else 'not enforced'})")
    print(f"API: {stack.state.get('url', 'nothing is deployed yet')}")
    if stack.certificate:
        print(f"HTTPS: {'running' if stack.serves_https() else 'not running'}, certificate {os.path.relpath(stack.certificate)}")
    return 0


def url(args):
    stack = Stack(args.name)
    stack.must_be_deployed()
    print(stack.state["url"])


def greet(args):
    """Prints the address of the running stack, its users and example commands."""
    stack, users = Stack(args.name), sample()["users"]
    stack.must_be_deployed()
    width = max(len(user["email"]) for user in users.values())
    trust = f"""
Its certificate is self-signed. Let curl trust it in this shell, or use curl -k:
  export CURL_CA_BUNDLE={stack.certificate}
""" if stack.certificate else ""
    people = "\n".join(f"  {role:9} {user['email']:{width}}  {user['password']}" for role, user in users.items())
    print(f"""
Ferrocart runs at
  {stack.state['url']}
{trust}
Log in with POST /users/login, or print a token with: make -s token USER=admin
{people}

Examples:
  curl -s $(make -s url)/products
  curl -s $(make -s url)/orders -H "Authorization: Bearer $(make -s token)"

Next: make demo, make logs, make watch, make invoke OP=create-order, make test, and make down at the end.""")


def token(args):
    user = sample()["users"].get(args.user)
    if not user:
        raise CommandError(f"There is no user {args.user}: write USER=admin or USER=customer.")
    print(Stack(args.name).api().log_in(user["email"], user["password"]).token)


# --- sam local ---------------------------------------------------------------------------------------------------------


def sam_local(args):
    """Writes the files with which sam local runs functions in Docker against this stack, and prints the command."""
    in_the_venv()
    stack = Stack(args.name)
    stack.must_be_deployed()
    sam, template, sample = map(os.path.relpath, (TOOLS / "bin/sam", write_for_sam_local(stack), ROOT / "events/create-order.json"))
    print(f"{sam} local invoke CreateOrderFunction --template {template} --event {sample}")


def write_for_sam_local(stack):
    """Writes copies of the templates, the values of their variables and sam's options into one folder. sam reads its options from there.

    sam local deploys nothing, so it cannot resolve the names of resources: the values are those of the deployed functions. It passes only
    variables that the templates declare, so the copies also declare the address and key of the stack. Without them the functions would call
    the real AWS. The values file overrides the shell, so a real key in the shell is not used.
    """
    import templates

    if platform.system() != "Linux":
        raise CommandError("Lambda's image runs Linux, but the functions are built for this machine: invoke them without Docker.")
    if stack.state["bind"] == "127.0.0.1":
        raise CommandError("The stack listens on 127.0.0.1, which containers cannot reach: run make down, then make up BIND_HOST=0.0.0.0."
                      " Every host that can reach this machine can then reach the stack.")
    place = stack.folder / "sam-local"
    place.mkdir(exist_ok=True)
    reach = {"AWS_ENDPOINT_URL": f"http://host.docker.internal:{stack.state['port']}", "AWS_REGION": REGION,
             "AWS_ACCESS_KEY_ID": stack.state["key"], "AWS_SECRET_ACCESS_KEY": stack.state["secret"], "AWS_SESSION_TOKEN": ""}
    template = templates.write(ROOT, place, stack.state["parameters"], variables={name: "" for name in reach})
    deployed = [each for page in stack.client("lambda").get_paginator("list_functions").paginate() for each in page["Functions"]]
    values = {resource_of(each["FunctionName"]): each["Environment"]["Variables"] | reach for each in deployed
              if each["FunctionName"].startswith(f"{STACK}-")}
    options = {"env_vars": str(place / "env-vars.json"), "add_host": "host.docker.internal:host-gateway", "skip_pull_image": True,
               "parameter_overrides": " ".join(f"{name}={value}" for name, value in stack.state["parameters"].items())}
    (place / "env-vars.json").write_text(json.dumps(values, indent=2))
    (place / "samconfig.toml").write_text("version = 0.1\n\n[default.global.parameters]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in options.items()))
    return template


def resource_of(function):
    """`CreateOrderFunction` for `ferrocart-create-order`."""
    return function.removeprefix(f"{STACK}-").title().replace("-", "") + "Function"


def call_in_docker(stack, function, event):
    """Invokes a function as `call` does, in a container that sam starts. The output of sam and of the function goes to the terminal."""
    command = [TOOLS / "bin/sam", "local", "invoke", resource_of(function), "--template", write_for_sam_local(stack), "--event", "-"]
    result = subprocess.run(command, cwd=ROOT, input=json.dumps(event), stdout=subprocess.PIPE, text=True,
                            env=stack.environment() | {"SAM_CLI_TELEMETRY": "0"})
    if result.returncode != 0:
        raise CommandError("sam local could not run the function: see its output above.")
    lines = result.stdout.strip().splitlines()
    answer = json.loads(lines[-1]) if lines else None
    if isinstance(answer, dict) and "errorType" in answer:
        raise CommandError(f"{function} failed: {lines[-1]}")
    return answer


# --- tests -------------------------------------------------------------------------------------------------------------


def run(args):
    """Starts a separate stack on a free port, runs a command against it, and always stops the stack."""
    def interrupted(number, _frame):
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    in_the_venv()
    args.name, args.port = args.name or "test", 0
    stop(args)
    try:
        start(args)
        deploy(args)
        stack = Stack(args.name)
        environment = stack.environment() | {
            "API_URL": stack.state["url"], "FERROCART_STACK": STACK,
            # Tests append each cart token that they receive; tests/leaks.py searches for them in the records and logs.
            "CART_TOKENS": str(stack.folder / "cart-tokens"),
        }
        say("running " + " ".join(args.command))
        return subprocess.run(args.command, cwd=ROOT, env=environment).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        keep_log(args.name)
        stop(args)


def keep_log(name):
    folder = HERE / ".state" / name
    if (folder / "emulator.log").exists():
        say(f"the emulator's log is {folder / 'emulator.log'}")


def main():
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="COMMAND")

    def command(function, *options, name=None):
        each = commands.add_parser(name or function.__name__, help=(function.__doc__ or "").strip().split("\n")[0])
        each.set_defaults(function=function)
        each.add_argument("--name", default="local" if function is not run else "test", help="the local stack (default: %(default)s)")
        for flags, settings in options:
            each.add_argument(*flags, **settings)

    port = (["--port"], {"help": "0 selects a free one (default: GATEWAY_PORT, PORT or 4566)"})
    https = (["--https"], {"metavar": "PORT", "help": f"also serve HTTPS; 1 selects port {DEFAULT_HTTPS_PORT} (default: HTTP only)"})
    auth = (["--auth"], {"action": "store_true", "help": "enforce IAM: each function runs under its own role"})
    profile = (["--profile"], {"default": "quick", "help": "the build profile of the functions (default: quick)"})
    parameter = (["--parameter"], {"action": "append", "default": [], "metavar": "NAME=VALUE", "help": "a template parameter"})
    command(setup)
    command(setup_release, name="setup-release")
    command(setup_browser, name="setup-browser")
    command(setup_storefront, name="setup-storefront")
    command(setup_checkov, name="setup-checkov")
    command(check, port, https)
    command(start, port, https, auth)
    command(deploy, profile, parameter)
    command(seed)
    command(stop)
    command(status)
    command(url)
    command(greet)
    command(token, (["user"], {"nargs": "?", "default": "customer"}))
    command(sam_local, name="sam-local")
    command(run, auth, profile, parameter, (["command"], {"nargs": "+", "metavar": "CMD"}))
    args = parser.parse_args()
    try:
        result = args.function(args)
        return result if isinstance(result, int) else 0
    except (CommandError, ApiError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
