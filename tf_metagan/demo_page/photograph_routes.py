"""The routes of the page of photographs: card, landscapes to pick, drawings."""

from collections.abc import Iterator
from typing import Any

from werkzeug import Request, Response
from werkzeug.routing import Rule

from tf_metagan import photograph_loading
from tf_metagan.data import base as data
from tf_metagan.demo_page import photograph_inputs
from tf_metagan.demo_page.pages import Page, json_answer, png, rule, sheet
from tf_metagan.demo_page.photograph_model import Asked, PhotographModel
from tf_metagan.serving.admission import Admission

_LANDSCAPES = 8
_LANDSCAPE_WIDTH = 128
_SEEDS = 2**31
_UNSEEN = 1000  # added to seeds, so that none was trained on by default


class PhotographRoutes(Page):
    """Answers the page of a model of photographs."""

    html = "photograph.html"

    def __init__(
        self, model: PhotographModel, *, admission: Admission, seconds: float
    ):
        """Hold what the routes share.

        Args:
          model: what draws.
          admission: see `Page`.
          seconds: see `Page`.
        """
        super().__init__(admission=admission, seconds=seconds)
        self._model = model

    def rules(self) -> list[Rule]:
        """See `Page`."""
        return [
            *super().rules(),
            rule("/api/landscapes/<int:seed>", self.landscapes),
            rule("/api/photograph", self.draw, "POST"),
        ]

    def card(self, request: Request) -> Response:
        """Describe the model."""
        del request
        card = self._model.card._asdict()
        card["limits"] = card["limits"]._asdict()
        return json_answer(card)

    def landscapes(self, request: Request, seed: int) -> Response:
        """Draw landscapes to pick from, other ones for another seed."""
        del request
        drawn = photograph_loading.landscapes(
            _LANDSCAPES,
            width=_LANDSCAPE_WIDTH,
            channels=self._model.card.channels,
            seed=_UNSEEN + seed % _SEEDS,
        )
        return json_answer({"images": [png(image) for image in drawn]})

    def draw(self, request: Request) -> Response:
        """Draw from the GAN of a photograph, or of two."""
        card = self._model.card
        return self.answer(
            request,
            lambda body: photograph_inputs.read(body, card),
            self._drawing,
        )

    def _drawing(
        self, asked: Asked, deadline: float
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of an answer."""
        yield {
            "event": "given",
            "images": [
                png(data.to_bytes(image))
                for image in (asked.image, asked.other)
                if image is not None
            ],
            "height": asked.image.shape[0],
            "width": asked.image.shape[1],
        }
        drawn = self._model.draw(asked, deadline=deadline)
        yield {
            "event": "rebuilt",
            "image": png(data.to_bytes(drawn.reconstruction)),
        }
        yield {
            "event": "samples",
            "sheet": sheet(drawn.samples),
            "count": len(drawn.samples),
        }
