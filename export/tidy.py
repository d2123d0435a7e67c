"""The graph of a converted model without what only its maker needs, the same bytes each time."""

from typing import Any

import onnx


def tidy(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The same graph without what only its maker needs, with names that depend on nothing but its structure.

    tf2onnx numbers its names by a counter and orders nodes by hash, so the same model gives other bytes each time.
    """
    clean = onnx.ModelProto()
    clean.CopyFrom(proto)
    clean.doc_string = ""
    clean.graph.name = name
    del clean.metadata_props[:]
    del clean.graph.value_info[:]
    _strip_doc_strings(clean.graph)
    _keep_used_domains(clean)
    for value in (*clean.graph.input, *clean.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Inner graphs refer to names of the outer one; no image classifier here has any.
    if not any(
        attribute.type == onnx.AttributeProto.GRAPH for node in clean.graph.node for attribute in node.attribute
    ):
        _rename(clean.graph)
    return clean


def _strip_doc_strings(graph: onnx.GraphProto) -> None:
    # They hold stack traces and paths of the machine that exported.
    graph.doc_string = ""
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        item.doc_string = ""
        del item.metadata_props[:]


def _keep_used_domains(proto: onnx.ModelProto) -> None:
    used = {node.domain for node in proto.graph.node}
    kept = [entry for entry in proto.opset_import if entry.domain in used | {""}]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _rename(graph: onnx.GraphProto) -> None:
    makers = {output: node for node in graph.node for output in node.output}
    fixed = [value.name for value in (*graph.input, *graph.output)]
    names = dict(zip(fixed, fixed, strict=True)) | {"": ""}
    nodes, counts = [], dict[str, int]()
    for node in _in_order(graph, makers):
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
        node.name = f"{node.op_type}_{counts[node.op_type]}"
        for position, tensor in enumerate(node.input):
            names.setdefault(tensor, f"{node.name}.input_{position}")
        for position, tensor in enumerate(node.output):
            names.setdefault(tensor, f"{node.name}.output_{position}")
        nodes.append(node)
    for node in nodes:
        node.input[:] = [names[tensor] for tensor in node.input]
        node.output[:] = [names[tensor] for tensor in node.output]
    weights = [weight for weight in graph.initializer if weight.name in names]
    for weight in weights:
        weight.name = names[weight.name]
    _replace(graph.node, nodes)
    _replace(graph.initializer, sorted(weights, key=lambda weight: weight.name))


def _in_order(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, each after those that feed it, in an order that only the structure decides."""
    ordered: dict[int, onnx.NodeProto] = {}
    pending = [(makers[value.name], False) for value in reversed(graph.output) if value.name in makers]
    while pending:
        node, fed = pending.pop()
        if id(node) in ordered:
            continue
        if fed:
            ordered[id(node)] = node
            continue
        pending.append((node, True))
        pending.extend((makers[tensor], False) for tensor in reversed(node.input) if tensor in makers)
    return list(ordered.values())


def _replace(field: Any, items: list[Any]) -> None:
    copies = [type(item).FromString(item.SerializeToString(deterministic=True)) for item in items]
    del field[:]
    field.extend(copies)
