"""The classifier as a custom runtime of MLServer, which reads Kafka by itself."""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, Parameters
from mlserver.utils import get_model_uri

from bench.peers.apps.answer import Classifier


class Runtime(MLModel):
    """One image a request, in base64 as bytes do not fit into JSON; its header goes to the response."""

    async def load(self) -> bool:
        """Load the model whose path the settings give."""
        self._classifier = Classifier(await get_model_uri(self._settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        (image,) = Base64Codec.decode_input(payload.inputs[0])
        answer = self._classifier.answer(image).decode()
        headers = {"request-id": payload.parameters.headers["request-id"]}
        return InferenceResponse(
            model_name=self.name,
            outputs=[StringCodec.encode_output("prediction", [answer])],
            parameters=Parameters(headers=headers),
        )
