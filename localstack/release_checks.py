"""Derives, from the policy of a function, what the check of a new version of the function reads.

A version is checked before it gets traffic: it reads each of its secrets and one absent key of each table and index that its policy allows
it to read. It reports a table that it may only write as not checked. shared/src/release.rs runs the check.
"""

import re

TABLE, SECRET = "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"
# The calls that read, in the order of preference.
READS = ("GetItem", "BatchGetItem", "Query", "DescribeTable")
NAMED_TABLE = re.compile(r":table/([^/]+)(?:/index/(.+))?$")
NAMED_SECRET = re.compile(r":secret:(.+)-\?{6}$")


def tables(templates):
    """Returns the key attributes of every table and index of the templates: name of the table, then of the index, or `None`."""
    found = {}
    for resource in (each for template in templates for each in template["Resources"].values() if each["Type"] == TABLE):
        properties = resource["Properties"]
        schemas = {None: properties} | {each["IndexName"]: each for each in properties.get("GlobalSecondaryIndexes", [])}
        found[text(properties["TableName"])] = {
            index: [attribute["AttributeName"] for attribute in each["KeySchema"]] for index, each in schemas.items()}
    return found


def derive(policies, template, keys):
    """Returns the secrets and tables of a function. `policies` have all parameters inserted, and `keys` is the result of `tables`."""
    secrets, access = set(), {}
    for statement in (each for policy in policies for each in policy["Statement"]):
        actions = {each.split(":")[1] for each in listed(statement["Action"])}
        for resource in listed(statement["Resource"]):
            kind, name, index = identify(resource, template)
            if kind == SECRET and "GetSecretValue" in actions:
                secrets.add(name)
            elif kind == TABLE:
                access.setdefault((name, index), set()).update(actions)
    checks = [{"secret": name} for name in sorted(secrets)]
    for (name, index), actions in sorted(access.items(), key=lambda each: (each[0][0], each[0][1] or "")):
        if name not in keys or index not in keys[name]:
            raise ValueError(f"a policy names {name}, {index or 'the table'}, but no template has it")
        reads = next((each for each in READS if each in actions), None)
        check = {"name": name} | ({"index": index} if index else {}) | ({"read": reads} if reads else {})
        if reads and reads != "DescribeTable":
            check["key"] = keys[name][index]
        checks.append({"table": check})
    return checks


def identify(resource, template):
    """Returns the kind, the name and the index of a policy's resource. Other resources have no kind."""
    if isinstance(resource, dict) and "Fn::GetAtt" in resource:
        owner, attribute = resource["Fn::GetAtt"]
        return of_template(template, owner, None) if attribute in ("Arn", "Id") else (None, None, None)
    name = text(resource)
    own = re.fullmatch(r"\$\{(\w+)\.Arn\}/index/(.+)", name)
    if own:
        return of_template(template, own[1], own[2])
    if found := NAMED_TABLE.search(name):
        return TABLE, found[1], found[2]
    if found := NAMED_SECRET.search(name):
        return SECRET, found[1], None
    return None, None, None


def of_template(template, logical_id, index):
    resource = template["Resources"].get(logical_id, {})
    kind = resource.get("Type")
    name = {TABLE: "TableName", SECRET: "Name"}.get(kind)
    return (kind, text(resource["Properties"][name]), index) if name else (None, None, None)


def text(value):
    """Returns a name with its references in the form of Fn::Sub."""
    if isinstance(value, dict) and "Ref" in value:
        return f"${{{value['Ref']}}}"
    return value["Fn::Sub"] if isinstance(value, dict) and "Fn::Sub" in value else str(value)


def listed(value):
    return value if isinstance(value, list) else [value]
