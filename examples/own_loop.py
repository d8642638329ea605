"""Record a training loop of your own: here, a small GPT-2 on what every Python carries as documents.

Run `python examples/own_loop.py own_loop.zarr`. The loop is an ordinary one; `record` watches its optimizer,
and `visit` says when a document has been trained. How many visits there will be need not be known.
"""

import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from analyses import gram, residual_cosine
from recorders import GradientRecorder, LossRecorder, WeightRecorder, record
from tracekit import flat, open_trace
from tracekit.training import parse_configuration, prepare

N_DOCUMENTS, N_TOKENS, VOCABULARY = 4, 48, 400


def documents() -> dict[str, torch.Tensor]:
    """Give the tokens of a few topics of the Python language reference, by name."""
    tokenizer = {"vocabulary": VOCABULARY}
    tasks = {"n_documents": N_DOCUMENTS, "max_tokens": N_TOKENS, "tokenizer": tokenizer}
    loaded = prepare(parse_configuration({"tasks": tasks})).tasks
    return {name: torch.as_tensor(loaded.tokens(task)) for task, name in enumerate(loaded.names)}


def small_model() -> GPT2LMHeadModel:
    """Make a GPT-2 of 40,000 parameters."""
    size = {"vocab_size": VOCABULARY, "n_positions": N_TOKENS, "n_embd": 32, "n_layer": 2, "n_head": 2}
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=None, eos_token_id=None))


def main(path: str) -> None:
    texts, model = documents(), small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    recorders = [LossRecorder(), WeightRecorder(), GradientRecorder(select="*attn*")]

    with record(model, optimizer, path, recorders=recorders, tasks=list(texts), overwrite=True) as trace:
        for epoch in range(3):
            for name, tokens in texts.items():
                for _ in range(5):
                    optimizer.zero_grad()
                    loss = model(input_ids=tokens[None], labels=tokens[None]).loss
                    loss.backward()
                    trace.loss(loss)
                    optimizer.step()
                trace.visit(task=name, epoch=epoch, evaluation={name: loss.item()})

    recorded = open_trace(path)
    print(
        "train loss of every visit:",
        recorded["losses"].train_loss.groupby("update_visit").mean().values.round(2),
    )
    similarity = residual_cosine(
        gram(flat(recorded, "weights", select="*attn*")), window=N_DOCUMENTS
    ).compute()
    print("snapshots compared:", similarity.sizes["visit"])
    print("gradients of:", *recorded["gradients"].data_vars)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "own_loop.zarr")
