"""What a figure of the paper is drawn from: an index of files that the workflow hands over."""

from pydantic import BaseModel, ConfigDict, Field

from mmr1.report.index import Training


class FigureIndex(BaseModel):
    """The trainings that belong in a figure; a run without a label goes by its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trainings: tuple[Training, ...] = Field(min_length=1)
    labels: dict[str, str] = {}
