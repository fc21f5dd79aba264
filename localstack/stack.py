#!/usr/bin/env python3
"""The local stack: an emulator of AWS on this machine, with Ferrocart deployed to it.

    stack.py setup      installs the pinned tools into localstack/.venv*
    stack.py start      starts the emulator in the background
    stack.py deploy     deploys template.yaml with the built functions
    stack.py seed       registers an admin and a customer, fills the shop
    stack.py run CMD    does all that on a free port, runs CMD, stops (for tests)
    stack.py stop | status | url | greet | token | logs | invoke
    stack.py sam-local  writes what sam local needs to run functions in Docker against this stack

Several stacks live side by side: --name keeps their state apart, in localstack/.state/<name>/.
Only AWS_ENDPOINT_URL ties any of this to the emulator: the same template and functions run on AWS and on LocalStack.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import re
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

HERE = Path(os.path.abspath(__file__)).parent
ROOT = HERE.parent
EMULATOR = HERE / ".venv"
TOOLS = HERE / ".venv-sam"
REGION = "us-east-1"
STACK = "ferrocart"
ADA = "usr_0199c2a8-0000-7000-8000-000000000001"  # the customer in events/, who gets an id of her own from every stack
ADAS_SESSION = "fam_0199c2a8-0000-7000-8000-0000000000d1"  # hers, likewise
PLATFORM = ("INIT_START ", "START RequestId", "END RequestId", "REPORT RequestId")  # lines of Lambda itself

sys.path.insert(0, str(HERE))
from client import Api, ApiError  # noqa: E402


class Trouble(Exception):
    """Something the reader can put right. The message says how."""


STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", file=sys.stderr, flush=True)


# --- the tools ---------------------------------------------------------------------------------------------------------


def setup(_args=None):
    """Installs what is missing. A venv is as it should be when its stamp is the hash of its requirements."""
    if not shutil.which("cargo"):
        raise Trouble("Rust is missing: install it from https://rustup.rs, then open a new shell.")
    wanted = [(EMULATOR, "requirements-emulator.txt", "the emulator"), (TOOLS, "requirements-tools.txt", "the SAM tools")]
    install([each for each in wanted if stamp(each[0]) != digest(each[1])])


def setup_release(_args=None):
    """Installs what builds for AWS as well."""
    setup()
    wanted = (HERE / ".venv-release", "requirements-release.txt", "the release tools")
    install([wanted] if stamp(wanted[0]) != digest(wanted[1]) else [])


def install(wanted):
    if not wanted:
        return
    try:
        import ensurepip  # noqa: F401 (Debian keeps it in a package of its own)
        import venv  # noqa: F401
    except ImportError:
        raise Trouble("Python cannot make virtual environments here: run apt-get install -y python3-venv.") from None
    running = []
    for place, requirements, what in wanted:
        say(f"installing {what} into {place.relative_to(ROOT)} (once, about half a minute)")
        steps = [[sys.executable, "-m", "venv", "--clear", place],
                 [place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", HERE / requirements]]
        script = " && ".join(" ".join(f"'{word}'" for word in step) for step in steps)
        running.append((place, requirements, what, subprocess.Popen(["sh", "-c", script], stdout=2)))
    for place, requirements, what, process in running:
        if process.wait() != 0:
            raise Trouble(f"{what} could not be installed: read pip's lines above, then run make again.")
        (place / ".stamp").write_text(digest(requirements))


def stamp(place):
    return (place / ".stamp").read_text() if (place / ".stamp").exists() else None


def digest(requirements):
    return hashlib.sha256((HERE / requirements).read_bytes() + sys.version.encode()).hexdigest()


def in_the_venv():
    """Goes on in the emulator's Python, which has boto3."""
    python = EMULATOR / "bin/python"
    if Path(sys.prefix) == EMULATOR:
        return
    if not python.exists():
        raise Trouble("The tools are not installed yet: run python3 localstack/stack.py setup.")
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
    def log(self):
        return self.folder / "emulator.log"

    def running(self):
        """Whether the emulator that this state speaks of lives and answers. Its key tells it from a stranger on the port."""
        return bool(self.state.get("pid")) and alive(self.state["pid"]) and answers(self.endpoint)

    def must_run(self):
        if not self.running():
            raise Trouble("The local stack is not running: run make up.")

    def must_be_deployed(self):
        self.must_run()
        if not self.state.get("url"):
            raise Trouble("The local stack is running but nothing is deployed to it: run make up.")

    def environment(self):
        """What a program needs to talk to this stack and to nothing else: no profile, no real account."""
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
    try:  # a child that died and was not waited for
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
    raise Trouble(f"{what} did not become ready within {seconds} s: see make logs.")


# --- start and stop ----------------------------------------------------------------------------------------------------


def start(args):
    stack = Stack(args.name)
    port = args.port if args.port is not None else int(os.environ.get("GATEWAY_PORT") or os.environ.get("PORT") or 4566)
    if stack.running():
        if args.port in (None, stack.state["port"]) and bool(args.auth) == stack.state["auth"]:
            say(f"the emulator is already running on port {stack.state['port']}")
            return stack
        stop(args)
    if port == 0:
        port = free_port()
    elif in_use(port):
        raise Trouble(f"Port {port} is in use by another program: stop that one, or choose another port with PORT=4567.")
    shutil.rmtree(stack.folder, ignore_errors=True)
    (stack.folder / "tmp").mkdir(parents=True)
    # With --auth the deployer's key is the root of the account and every function runs under its own role.
    key, secret = ("ferrocart-deployer", secrets.token_hex(20)) if args.auth else ("test", "test")
    endpoint = f"http://127.0.0.1:{port}"
    # A clean environment: functions inherit it. AWS_ENDPOINT_URL keeps them from calling the real AWS.
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
            raise Trouble(f"The emulator died at its start. Its last lines, from {stack.log}:\n{last}")
        return answers(endpoint)

    wait_for("The emulator", ready)
    return stack


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(args):
    """Stops the emulator and every function process that it started: they are one process group."""
    stack = Stack(args.name)
    pid = stack.state.get("pid")
    if pid and is_ours(pid):
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + patience
            while alive(pid) and time.monotonic() < deadline:
                reap(pid)
                time.sleep(0.02)
        say("the emulator is stopped")
    shutil.rmtree(stack.folder / "tmp", ignore_errors=True)
    if stack.file.exists():
        stack.file.unlink()


def is_ours(pid):
    """Whether this process is an emulator that we started: process ids are used again after a restart of the machine."""
    try:
        return b"emulator.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
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
    template = package(args.profile)
    parameters = {
        "Local": "true",
        "Stage": "dev",
        "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "PaymentProvider": "simulated",
        "SenderAddress": "shop@ferrocart.example",
        "NetworkBurst": "1000000",  # everybody comes from one address here
        "NudgeSeconds": "5",  # nobody waits a minute here for what was lost
        "LogLevel": os.environ.get("LOG_LEVEL", "info"),
    } | dict(each.split("=", 1) for each in args.parameter)
    say("deploying template.yaml with sam deploy")
    started = time.monotonic()
    command = [
        TOOLS / "bin/sam", "deploy", "--template-file", template, "--stack-name", STACK, "--region", REGION,
        "--config-file", HERE / "samconfig.toml", "--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset",
        "--no-progressbar", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides", *[f"{name}={value}" for name, value in parameters.items()],
    ]
    with open(stack.folder / "deploy.log", "w") as log:
        result = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=stack.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"})
    if result.returncode != 0:
        if not stack.running():
            raise Trouble(f"The emulator died during the deployment: its last lines are in {stack.log}. Run make down, then make up.")
        lines = Path(log.name).read_text(errors="replace").splitlines()
        told = [line for line in lines if "FAILED" in line or "Error" in line] or lines
        raise Trouble("sam deploy failed, its whole output is in " + log.name + ":\n" + "\n".join(told[-12:]))
    say(f"sam deploy took {time.monotonic() - started:.1f} s")
    outputs = {each["OutputKey"]: each["OutputValue"]
               for each in stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0].get("Outputs", [])}
    put_gateway_responses(stack, outputs["ApiId"], parameters)
    stack.save(outputs=outputs, parameters=parameters, url=f"{stack.endpoint}/_aws/execute-api/{outputs['ApiId']}/v1")
    rotate_signing_key(stack)
    api = stack.api()
    health = []

    def healthy():
        health[:] = [api.call("GET", "/health", expect=range(100, 600))]
        return health[0].status == 200

    try:
        wait_for("GET /health", healthy, pause=0.2)
    except Trouble as trouble:
        raise Trouble(f"{trouble} It answered {health[0]}.") from None
    say(f"deployed: {stack.state['url']}")


def package(profile):
    """Puts every built function where the template looks for it, and zips it. What has not changed is not zipped again.

    sam would zip all of them at every deployment, which takes half a minute; so it gets the template with the zips in it.
    """
    names = sorted(path.stem for path in ROOT.glob("functions/*/src/bin/*.rs"))
    built = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / profile
    missing = [name for name in names if not (built / name).exists()]
    if missing:
        raise Trouble(f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''} is not built: run make build.")
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
                entry = zipfile.ZipInfo("bootstrap")  # without a time, so that the same function is the same zip
                entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
                file.writestr(entry, target.read_bytes(), compresslevel=1)
            os.utime(part, ns=(target.stat().st_mtime_ns,) * 2)
            part.replace(archive)

    with ThreadPoolExecutor() as workers:
        list(workers.map(pack, names))
    template = re.sub(r"CodeUri: target/lambda/([a-z-]+)/", r"CodeUri: \1.zip", (ROOT / "template.yaml").read_text())
    (place / "template.yaml").write_text(template)
    return place / "template.yaml"


def same(one, other):
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def put_gateway_responses(stack, api_id, parameters):
    """The emulator reads paths from the API's document but not gateway responses, so they are put one by one.

    On AWS they are part of the deployment that CloudFormation makes.
    """
    import yaml

    class Template(yaml.SafeLoader):
        pass

    def plain(loader, _suffix, node):
        if isinstance(node, yaml.ScalarNode):
            text = loader.construct_scalar(node)
            for name, value in (defaults | parameters).items():
                text = text.replace("${" + name + "}", value)
            return text
        return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node)

    defaults = {}
    Template.add_multi_constructor("!", plain)
    text = (ROOT / "template.yaml").read_text()
    defaults = {name: str(each["Default"]) for name, each in yaml.load(text, Template)["Parameters"].items() if "Default" in each}
    responses = yaml.load(text, Template)["Resources"]["Api"]["Properties"].get("GatewayResponses", {})
    gateway = stack.client("apigateway")
    for kind, response in responses.items():
        headers = response["ResponseParameters"]["Headers"]
        gateway.put_gateway_response(
            restApiId=api_id, responseType=kind, statusCode=str(response["StatusCode"]),
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
            responseTemplates=response["ResponseTemplates"])
    gateway.create_deployment(restApiId=api_id, stageName="v1")


def rotate_signing_key(stack):
    """Does what Secrets Manager does on AWS when a rotation is due. The emulator has no such timer."""
    outputs = stack.state["outputs"]
    secret = stack.client("secretsmanager").get_secret_value(SecretId=outputs["SigningKeySecretArn"])
    if json.loads(secret["SecretString"]).get("keys"):
        return
    token = str(uuid.uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"SecretId": outputs["SigningKeySecretArn"], "ClientRequestToken": token, "Step": step}
        call(stack, outputs["RotateSigningKeyFunction"], event)


def call(stack, function, event):
    """Invokes a function and returns its answer. An error of the function is ours to tell."""
    try:
        result = stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except Exception as error:  # botocore makes its classes at run time
        raise Trouble(f"{function} could not be invoked: {error}") from error
    payload = result["Payload"].read().decode()
    if result.get("FunctionError"):
        raise Trouble(f"{function} failed: {payload}")
    return json.loads(payload) if payload else None


# --- sample data -------------------------------------------------------------------------------------------------------


def sample():
    return json.loads((HERE / "sample-data.json").read_text())


def seed(args):
    """Everything goes through the public API, but for the one step that IAM alone may do, the first admin, and for the samples.

    Repeating it changes nothing: each request carries the key it carried the first time.
    """
    in_the_venv()
    stack = Stack(args.name)
    api, data = stack.api(), sample()
    for user in data["users"].values():
        api.register(user)
    admin = data["users"]["admin"]
    call(stack, stack.state["outputs"]["GrantRoleFunction"], {"email": admin["email"], "role": "admin"})
    admin = api.log_in(admin["email"], admin["password"])
    for each in data["products"]:
        product = {name: each[name] for name in ("name", "description", "category", "sku")}
        product["price"] = {"amount": each["price"], "currency": "USD"}
        answer = admin.call("POST", "/products", product, key=f"sample-product-{each['sku']}", expect=(200, 201, 409))
        if answer.status != 409 and each["stock"]:
            admin.call("POST", f"/inventory/{answer.body['id']}/adjustments", {"delta": each["stock"], "reason": "first delivery"},
                       key=f"sample-stock-{each['sku']}")
    seed_for_events(stack, api)
    say(f"sample data: {len(data['users'])} users, {len(data['products'])} products with stock")


def seed_for_events(stack, api):
    """Brings in whom and what the events in events/ speak of: Ada, and a spoon that can be ordered.

    A product's id is the catalogue's to choose, so the spoon comes as it comes to the other services, in events with its id:
    orders and inventory know it, the shop's pages do not show it.
    """
    api.register(json.loads(event("register-user")["body"]))
    for operation in ("replicate-product", "adjust-stock"):
        answer = call(stack, f"{STACK}-{operation}", event(operation))
        if answer.get("batchItemFailures") or answer.get("statusCode", 200) >= 400:
            raise Trouble(f"events/{operation}.json was refused: {json.dumps(answer)}")


def event(operation):
    file = ROOT / "events" / f"{operation}.json"
    if not file.exists():
        known = sorted(path.stem for path in file.parent.glob("*.json"))
        raise Trouble(f"There is no event {file}: OP is one of {', '.join(known)}.")
    return json.loads(file.read_text())


# --- looking and asking ------------------------------------------------------------------------------------------------


def status(args):
    stack = Stack(args.name)
    if not stack.running():
        print("not running")
        return 1
    print(f"running on {stack.endpoint} (process {stack.state['pid']}, IAM {'enforced' if stack.state['auth'] else 'not enforced'})")
    print(f"API: {stack.state.get('url', 'nothing is deployed yet')}")
    return 0


def url(args):
    stack = Stack(args.name)
    stack.must_be_deployed()
    print(stack.state["url"])


def greet(args):
    """Says what is there now and what to do with it."""
    stack, users = Stack(args.name), sample()["users"]
    stack.must_be_deployed()
    width = max(len(user["email"]) for user in users.values())
    people = "\n".join(f"  {role:9} {user['email']:{width}}  {user['password']}" for role, user in users.items())
    print(f"""
Ferrocart runs at
  {stack.state['url']}

Log in with POST /users/login, or take a token with: make -s token USER=admin
{people}

For instance:
  curl -s $(make -s url)/products
  curl -s $(make -s url)/orders -H "Authorization: Bearer $(make -s token)"

Next: make demo, make logs, make invoke OP=create-order, make test, and make down at the end.""")


def token(args):
    user = sample()["users"].get(args.user)
    if not user:
        raise Trouble(f"There is no user called {args.user}: say USER=admin or USER=customer.")
    print(Stack(args.name).api().log_in(user["email"], user["password"]).token)


def logs(args):
    """Prints what the functions logged in the last ten minutes, in the order of time. --follow goes on until it is stopped."""
    in_the_venv()
    stack = Stack(args.name)
    stack.must_run()
    client, seen, since = stack.client("logs"), set(), 0 if args.all else int((time.time() - 600) * 1000)
    prefix = f"/aws/lambda/{STACK}-{args.operation or ''}"
    while True:
        events = []
        for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
            for group in page["logGroups"]:
                found = client.filter_log_events(logGroupName=group["logGroupName"], startTime=since)["events"]
                events += [(each["timestamp"], group["logGroupName"].rsplit(f"{STACK}-", 1)[1], each["logStreamName"],
                            each["message"].rstrip()) for each in found if args.all or not each["message"].startswith(PLATFORM)]
        for event in sorted(set(events) - seen):
            when, function, _stream, message = event
            print(f"{time.strftime('%H:%M:%S', time.localtime(when / 1000))} {function:24} {message}", flush=True)
        seen.update(events)
        if not args.follow:
            return
        time.sleep(1)
        stack.must_run()


def invoke(args):
    """Invokes one function with its sample event: the deployed one, or with --via docker the same in Lambda's own image."""
    in_the_venv()
    stack = Stack(args.name)
    stack.must_be_deployed()
    sent = json.loads(Path(args.event).read_text()) if args.event else as_it_is_here(stack, event(args.operation))
    answer = (call_in_docker if args.via == "docker" else call)(stack, f"{STACK}-{args.operation}", sent)
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def as_it_is_here(stack, sent):
    """Puts in what no file can know, and says so: tokens, ids and the version of whom they are for, and the name of this stack's secret."""
    headers, body = sent.get("headers") or {}, json.loads(sent.get("body") or "{}")
    known = []
    if "Authorization" in headers or "refresh_token" in body:
        ada = log_in_ada(stack.api())
        me = ada.call("GET", "/users/me")
        known = [("a token of Ada's", headers.get("Authorization"), f"Bearer {ada.token}"),
                 ("a refresh token of Ada's", body.get("refresh_token"), ada.refresh_token),
                 (f"her id {me.body['id']}", ADA, me.body["id"]), ("her session", ADAS_SESSION, session_of(ada.token)),
                 (f"her version {me.headers['ETag']}", headers.get("If-Match"), me.headers["ETag"])]
    if "token" in body:
        known = [("the token of the last link to Ada", body["token"], mailed_token(stack, sent["path"]))]
    if "SecretId" in sent:
        here = stack.state["outputs"]["SigningKeySecretArn"]
        known = [(f"the secret {here}", sent["SecretId"], here)]
    text, put = json.dumps(sent), []
    for what, there, here in known:
        there, here = (json.dumps(each or "")[1:-1] for each in (there, here))  # as they stand in the text
        if there and there in text:
            text = text.replace(there, here)
            put.append(what)
    if put:
        say(f"sending {' and '.join(put)} in place of the sample's")
    return json.loads(text)


def log_in_ada(api):
    """Ada of the events. Those that delete her, or give her another password, may have been here before."""
    api.register(json.loads(event("register-user")["body"]))
    login, later = (json.loads(event(operation)["body"]) for operation in ("login-user", "change-password"))
    for password in (login["password"], later["new_password"]):
        answer = api.call("POST", "/users/login", {"email": login["email"], "password": password}, expect=(200, 401))
        if answer.status == 200:
            return api.as_caller(answer.body["access_token"], answer.body["refresh_token"])
    raise Trouble(f"{login['email']} has a password that no event knows: run make down, then make up.")


def session_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"]


def mailed_token(stack, path):
    """What the last mail to Ada holds that has a link for this: the emulator keeps all mails."""
    page = "reset-password" if "password-reset" in path else "verify-email"
    with urllib.request.urlopen(f"{stack.endpoint}/_ministack/ses/messages", timeout=10) as response:
        mails = [mail for account in json.load(response)["messages"].values() for mail in account]
    hers = {json.loads(event(operation)["body"])["email"] for operation in ("register-user", "update-me")}
    found = [match[1] for mail in mails if hers & set(mail["To"])
             if (match := re.search(rf"{page}#token=([\w.-]+)", json.dumps(mail)))]
    if not found:
        raise Trouble("No mail to Ada holds such a link yet: invoke the operation first that sends it.")
    return found[-1]


# --- sam local ---------------------------------------------------------------------------------------------------------


def sam_local(args):
    """Writes what sam local needs to run functions in Docker against this stack, and prints how to use it."""
    in_the_venv()
    stack = Stack(args.name)
    stack.must_be_deployed()
    sam, template, sample = map(os.path.relpath, (TOOLS / "bin/sam", write_for_sam_local(stack), ROOT / "events/create-order.json"))
    print(f"{sam} local invoke CreateOrderFunction --template {template} --event {sample}")


def write_for_sam_local(stack):
    """Writes a template, the values of its variables and sam's options into one folder: sam finds the last beside the first.

    sam local deploys nothing, so it would call a table what the template calls it: the values are those of the deployed functions.
    It hands on only variables that the template declares: so this copy also declares where the stack is and a key for it, or the
    functions would talk to the real AWS. The values file outranks the shell, so no real key in the shell gets in.
    """
    if platform.system() != "Linux":
        raise Trouble("Lambda's image runs Linux, but the functions are built for this machine: invoke them without Docker.")
    if stack.state["bind"] == "127.0.0.1":
        raise Trouble("The stack listens on 127.0.0.1, where containers do not reach it: run make down, then make up BIND_HOST=0.0.0.0."
                      " Whoever reaches this machine then reaches the stack.")
    place = stack.folder / "sam-local"
    place.mkdir(exist_ok=True)
    reach = {"AWS_ENDPOINT_URL": f"http://host.docker.internal:{stack.state['port']}", "AWS_REGION": REGION,
             "AWS_ACCESS_KEY_ID": stack.state["key"], "AWS_SECRET_ACCESS_KEY": stack.state["secret"], "AWS_SESSION_TOKEN": ""}
    lines = "".join(f'        {name}: ""\n' for name in reach)
    template = (ROOT / "template.yaml").read_text()
    template = template.replace("      Variables:\n", "      Variables:\n" + lines, 1)  # the first are the Globals
    template = template.replace("CodeUri: target/lambda/", f"CodeUri: {ROOT}/target/lambda/")
    deployed = [each for page in stack.client("lambda").get_paginator("list_functions").paginate() for each in page["Functions"]]
    values = {resource_of(each["FunctionName"]): each["Environment"]["Variables"] | reach for each in deployed
              if each["FunctionName"].startswith(f"{STACK}-")}
    options = {"env_vars": str(place / "env-vars.json"), "add_host": "host.docker.internal:host-gateway", "skip_pull_image": True,
               "parameter_overrides": " ".join(f"{name}={value}" for name, value in stack.state["parameters"].items())}
    (place / "template.yaml").write_text(template)
    (place / "env-vars.json").write_text(json.dumps(values, indent=2))
    (place / "samconfig.toml").write_text("version = 0.1\n\n[default.global.parameters]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in options.items()))
    return place / "template.yaml"


def resource_of(function):
    """`CreateOrderFunction` for `ferrocart-create-order`."""
    return function.removeprefix(f"{STACK}-").title().replace("-", "") + "Function"


def call_in_docker(stack, function, event):
    """Does what `call` does, in a container that sam starts. What sam and the function say goes to the terminal."""
    command = [TOOLS / "bin/sam", "local", "invoke", resource_of(function), "--template", write_for_sam_local(stack), "--event", "-"]
    result = subprocess.run(command, cwd=ROOT, input=json.dumps(event), stdout=subprocess.PIPE, text=True,
                            env=stack.environment() | {"SAM_CLI_TELEMETRY": "0"})
    if result.returncode != 0:
        raise Trouble("sam local could not run the function: it says why above.")
    lines = result.stdout.strip().splitlines()
    answer = json.loads(lines[-1]) if lines else None
    if isinstance(answer, dict) and "errorType" in answer:
        raise Trouble(f"{function} failed: {lines[-1]}")
    return answer


# --- tests -------------------------------------------------------------------------------------------------------------


def run(args):
    """Starts a stack of its own on a free port, runs a command against it and stops it, whatever happens."""
    def interrupted(number, _frame):
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    in_the_venv()
    args.name, args.port, args.parameter = args.name or "test", 0, args.parameter
    stop(args)
    try:
        start(args)
        deploy(args)
        stack = Stack(args.name)
        environment = stack.environment() | {"FERROCART_URL": stack.state["url"], "FERROCART_STACK": STACK}
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="COMMAND")

    def command(function, *options, name=None):
        each = commands.add_parser(name or function.__name__, help=(function.__doc__ or "").strip().split("\n")[0])
        each.set_defaults(function=function)
        each.add_argument("--name", default="local" if function is not run else "test", help="which stack (default: %(default)s)")
        for flags, settings in options:
            each.add_argument(*flags, **settings)

    port = (["--port"], {"type": int, "help": "0 takes a free one (default: GATEWAY_PORT, PORT or 4566)"})
    auth = (["--auth"], {"action": "store_true", "help": "enforce IAM: each function runs under its own role"})
    profile = (["--profile"], {"default": "quick", "help": "the build profile of the functions (default: quick)"})
    parameter = (["--parameter"], {"action": "append", "default": [], "metavar": "NAME=VALUE", "help": "a template parameter"})
    command(setup)
    command(setup_release, name="setup-release")
    command(start, port, auth)
    command(deploy, profile, parameter)
    command(seed)
    command(stop)
    command(status)
    command(url)
    command(greet)
    command(token, (["user"], {"nargs": "?", "default": "customer"}))
    command(logs, (["operation"], {"nargs": "?"}), (["--follow", "-f"], {"action": "store_true"}), 
            (["--all"], {"action": "store_true", "help": "from the beginning, with the lines of Lambda itself"}))
    command(invoke, (["operation"], {}), (["--event"], {"help": "a file other than events/<operation>.json, sent as it is"}),
            (["--via"], {"choices": ["docker"], "help": "run it in Lambda's own image, with sam local"}))
    command(sam_local, name="sam-local")
    command(run, auth, profile, parameter, (["command"], {"nargs": "+", "metavar": "CMD"}))
    args = parser.parse_args()
    try:
        result = args.function(args)
        return result if isinstance(result, int) else 0
    except (Trouble, ApiError) as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
