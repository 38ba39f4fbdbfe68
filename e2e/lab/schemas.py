"""Writes one strict JSON schema for each Kubernetes kind, as kubeconform wants them.

usage: schemas.py SWAGGER_JSON TARGET_FOLDER [CRD_YAML...]

A published OpenAPI document says which fields exist but forbids no others; strict means that an unknown field, the usual
spelling mistake, is an error. Kinds refer into one file of definitions, since most of each would be ObjectMeta and PodSpec.
"""

import json
import pathlib
import sys

import yaml

DEFINITIONS = "definitions.json"
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Written in YAML as a number as often as a string; the document says string.
NUMBER_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "number"}]}
LOOSE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": NUMBER_OR_STRING,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": NUMBER_OR_STRING,
}


def main(swagger_path, target, *crd_paths):
    target = pathlib.Path(target)
    published = json.loads(pathlib.Path(swagger_path).read_text())["definitions"]
    definitions = {name: LOOSE.get(name) or strict(schema) for name, schema in published.items()}
    write(target / DEFINITIONS, {"definitions": definitions})
    for name, schema in published.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            reference = {"$ref": f"{DEFINITIONS}#/definitions/{name}"}
            write(target / file_name(kind["group"], kind["version"], kind["kind"]), reference)
    for path in crd_paths:
        for document in yaml.safe_load_all(pathlib.Path(path).read_text()):
            if document and document.get("kind") == "CustomResourceDefinition":
                write_custom(target, document["spec"])


def write_custom(target, spec):
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        # Every object has these, whatever its own schema says of them.
        schema.setdefault("properties", {}).update(
            apiVersion={"type": "string"},
            kind={"type": "string"},
            metadata={"$ref": f"{DEFINITIONS}#/definitions/{METADATA}"},
        )
        write(target / file_name(spec["group"], version["name"], spec["names"]["kind"]), schema)


def file_name(group, version, kind):
    """kubeconform's {{.ResourceKind}}{{.KindSuffix}}: of a group only the part before the first dot."""
    return "-".join(filter(None, [kind.lower(), group.split(".")[0], version])) + ".json"


def strict(schema):
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return NUMBER_OR_STRING
    result = {}
    for key, value in schema.items():
        if key in ("properties", "definitions"):
            result[key] = {name: strict(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            result[key] = strict(value)
        elif key in ("allOf", "anyOf", "oneOf"):
            # These narrow what stands beside them, so they name only some of the fields.
            result[key] = value
        elif key == "$ref":
            result[key] = value.replace("#/definitions/", f"{DEFINITIONS}#/definitions/")
        elif not key.startswith("x-"):
            result[key] = value
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    # The API server drops a null where a field may be left out.
    for name, child in result.get("properties", {}).items():
        if name not in schema.get("required", []) and isinstance(child.get("type"), str):
            child["type"] = [child["type"], "null"]
            if "enum" in child:
                child["enum"] = [*child["enum"], None]
    return result


def write(path, schema):
    path.write_text(json.dumps(schema))


if __name__ == "__main__":
    main(*sys.argv[1:])
