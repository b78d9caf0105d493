"""Writes vocab.txt, clip_tokenizer.json and tokens.json for tests/tokenizer.rs, from Hugging Face's tokenizers.

    pip install transformers && python golden_tokens.py

The vocabularies are tiny, so that words fall into pieces and unknown ones.
"""

import json

from transformers import BertTokenizerFast, CLIPTokenizerFast

WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] ! ' , . - ( ) 1 2 9 0 a b c d e f g i k l n o p r s t u w y ##a ##b ##c ##d ##e
##f ##g ##i ##l ##n ##o ##p ##r ##s ##t ##u ##y a cat dog photo of the two sit ##ting play ##ing on sofa 猫 cafe red
straw ##berries un ##related""".split()
MERGES = """a t</w>|c at</w>|d o|do g</w>|p h|ph o|t o</w>|pho to</w>|o f</w>|t h|th e</w>|s i|si t|i n|in g</w>|t ing</w>
|o n</w>|r e|re d</w>|w o</w>""".replace("\n", "").split("|")
TEXTS = [
    "A photo of a cat.",
    "Two dogs, SITTING on the sofa (1920)!",
    "  the\tCafé's   strawberries – unrelated\u00a0to zebras ",
    "猫 and a dog 🐶",
    "[SEP] red <|endoftext|> [MASK]",
    "",
    "a cat on a sofa on a cat on a sofa on a cat on a sofa on a cat on a sofa on a cat on a sofa",
]
MAX = 16


def byte_characters():
    """GPT-2's printable stand-ins for the 256 bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + i) for i in range(len(rest))]


def clip():
    tokens = byte_characters()
    tokens += [token + "</w>" for token in tokens] + [merge.replace(" ", "") for merge in MERGES]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizerFast(vocab=vocab, merges=[tuple(merge.split(" ")) for merge in MERGES])


def main():
    words = list(dict.fromkeys(WORDS))
    with open("vocab.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(words) + "\n")
    bert = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)})
    clip().backend_tokenizer.save("clip_tokenizer.json", pretty=False)
    out = {"texts": TEXTS, "max": MAX}
    for name, tokenizer in [("bert", bert), ("clip", clip())]:
        out[name] = [tokenizer(text, truncation=True, max_length=MAX)["input_ids"] for text in TEXTS]
        full = tokenizer(TEXTS, truncation=True, padding="max_length", max_length=MAX)
        out[f"{name}_padded"], out[f"{name}_pad"] = full["input_ids"], tokenizer.pad_token_id
        print(name, [tokenizer.convert_ids_to_tokens(ids) for ids in out[name]])
    with open("tokens.json", "w", encoding="utf-8") as file:
        json.dump(out, file, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
