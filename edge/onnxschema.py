"""The messages of an ONNX file: every field number of onnx.proto in the ONNX specification, up to IR version 14."""

from typing import NamedTuple


class Field(NamedTuple):
    """What a field holds: another message, by its name, or one of the kinds that are listed below."""

    kind: str
    is_repeated: bool


# message → its fields, as number:kind, with a * where it may be repeated. Kinds that are not messages:
# int, float, double (packed or not where repeated); name (a short text) and bytes (of any length);
# domain, external, location and function, which are names, messages and numbers with rules of their own.
_MESSAGES = {
    "model": "1:int 2:name 3:name 4:name 5:int 6:bytes 7:graph 8:opset* 14:entry* 20:training* 25:function* 26:device*",
    "opset": "1:name 2:int",
    "entry": "1:name 2:bytes",
    "training": "1:graph 2:graph 3:entry* 4:entry*",
    "device": "1:name 2:int 3:name*",
    "graph": "1:node* 2:name 5:tensor* 10:bytes 11:value* 12:value* 13:value* 14:annotation* 15:sparse* 16:entry*",
    "node": "1:name* 2:name* 3:name 4:name 5:attribute* 6:bytes 7:domain 8:name 9:entry* 10:placement*",
    "attribute": "1:name 2:float 3:int 4:bytes 5:tensor 6:graph 7:float* 8:int* 9:bytes* 10:tensor* 11:graph* "
    "13:bytes 14:type 15:type* 20:int 21:name 22:sparse 23:sparse*",
    "tensor": "1:int* 2:int 3:segment 4:float* 5:int* 6:bytes* 7:int* 8:name 9:bytes 10:double* 11:int* 12:bytes "
    "13:external* 14:location 16:entry*",
    "segment": "1:int 2:int",
    "sparse": "1:tensor 2:tensor 3:int*",
    "annotation": "1:name 2:entry*",
    "value": "1:name 2:type 3:bytes 4:entry*",
    "type": "1:tensor_type 4:element_type 5:map_type 6:name 7:opaque 8:tensor_type 9:element_type",
    "tensor_type": "1:int 2:shape",
    "element_type": "1:type",
    "map_type": "1:int 2:type",
    "opaque": "1:domain 2:name",
    "shape": "1:dimension*",
    "dimension": "1:int 2:name 3:name",
    "placement": "1:name 2:sharding* 3:int",
    "sharding": "1:name 2:int* 3:group* 4:sharded*",
    "group": "1:int 2:int*",
    "sharded": "1:int 2:simple*",
    "simple": "1:int 2:name 3:int",
}

SCHEMA = {
    message: {
        int(number): Field(kind.rstrip("*"), kind.endswith("*"))
        for number, kind in (field.split(":") for field in text.split())
    }
    for message, text in _MESSAGES.items()
}
