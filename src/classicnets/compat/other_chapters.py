"""Which chapters of the book define the names that `classicnets.compat.d2l` does not have.

Source: the cells that are marked to be saved in the books' repositories (d2l-ai/d2l-zh and d2l-ai/d2l-en), for PyTorch,
and the released packages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from classicnets.text import _


class Chapter(NamedTuple):
    """A chapter: its subject, and the names that it defines, separated by spaces."""

    subject: Callable[[], str]
    names: str


class Edition(NamedTuple):
    """An edition: the release of its package, and its chapters by number."""

    release: str
    title: Callable[[], str]
    chapters: dict[int, Chapter]


CHINESE = Edition(
    "d2l==0.17.6",
    lambda: _("the second Chinese edition"),
    {
        8: Chapter(
            lambda: _("recurrent networks"),
            """read_time_machine tokenize Vocab count_corpus load_corpus_time_machine seq_data_iter_random
        seq_data_iter_sequential SeqDataLoader load_data_time_machine RNNModelScratch predict_ch8 grad_clipping
        train_epoch_ch8 train_ch8 RNNModel""",
        ),
        9: Chapter(
            lambda: _("modern recurrent networks"),
            """read_data_nmt preprocess_nmt tokenize_nmt show_list_len_pair_hist truncate_pad build_array_nmt
        load_data_nmt Encoder Decoder EncoderDecoder Seq2SeqEncoder sequence_mask MaskedSoftmaxCELoss train_seq2seq
        predict_seq2seq bleu""",
        ),
        10: Chapter(
            lambda: _("attention"),
            """show_heatmaps masked_softmax AdditiveAttention DotProductAttention AttentionDecoder MultiHeadAttention
        transpose_qkv transpose_output PositionalEncoding PositionWiseFFN AddNorm EncoderBlock TransformerEncoder""",
        ),
        11: Chapter(
            lambda: _("optimization"),
            "annotate train_2d show_trace_2d get_data_ch11 train_ch11 train_concise_ch11",
        ),
        12: Chapter(
            lambda: _("computational performance"),
            "Benchmark split_batch resnet18",
        ),
        13: Chapter(
            lambda: _("computer vision"),
            """train_batch_ch13 train_ch13 box_corner_to_center box_center_to_corner bbox_to_rect multibox_prior
        show_bboxes box_iou assign_anchor_to_bbox offset_boxes multibox_target offset_inverse nms multibox_detection
        read_data_bananas BananasDataset load_data_bananas read_voc_images VOC_COLORMAP VOC_CLASSES voc_colormap2label
        voc_label_indices voc_rand_crop VOCSegDataset load_data_voc read_csv_labels copyfile reorg_train_valid
        reorg_test""",
        ),
        14: Chapter(
            lambda: _("natural language: pretraining"),
            """read_ptb subsample get_centers_and_contexts RandomGenerator get_negatives batchify load_data_ptb
        TokenEmbedding get_tokens_and_segments BERTEncoder MaskLM NextSentencePred BERTModel load_data_wiki""",
        ),
        15: Chapter(
            lambda: _("natural language: applications"),
            "read_imdb load_data_imdb predict_sentiment read_snli SNLIDataset load_data_snli predict_snli",
        ),
    },
)
ENGLISH = Edition(
    "d2l==1.0.3",
    lambda: _("the English edition 1.0"),
    {
        9: Chapter(
            lambda: _("recurrent networks"),
            "TimeMachine Vocab RNNScratch check_len check_shape RNNLMScratch RNN RNNLM",
        ),
        10: Chapter(
            lambda: _("modern recurrent networks"),
            """GRU MTFraEng show_list_len_pair_hist Encoder Decoder EncoderDecoder init_seq2seq Seq2SeqEncoder Seq2Seq
        bleu""",
        ),
        11: Chapter(
            lambda: _("attention and transformers"),
            """show_heatmaps masked_softmax DotProductAttention AdditiveAttention AttentionDecoder MultiHeadAttention
        PositionalEncoding PositionWiseFFN AddNorm TransformerEncoderBlock TransformerEncoder""",
        ),
        12: Chapter(
            lambda: _("optimization"),
            "annotate train_2d show_trace_2d get_data_ch11 train_ch11 train_concise_ch11",
        ),
        13: Chapter(
            lambda: _("computational performance"),
            "Benchmark split_batch resnet18",
        ),
        14: Chapter(
            lambda: _("computer vision"),
            CHINESE.chapters[13].names,
        ),
        15: Chapter(
            lambda: _("natural language: pretraining"),
            CHINESE.chapters[14].names,
        ),
        16: Chapter(
            lambda: _("natural language: applications"),
            CHINESE.chapters[15].names,
        ),
        18: Chapter(
            lambda: _("Gaussian processes"),
            "rbfkernel",
        ),
        19: Chapter(
            lambda: _("hyperparameter optimization"),
            """HPOTrainer HPOSearcher RandomSearcher HPOScheduler BasicScheduler HPOTuner hpo_objective_lenet
        SuccessiveHalvingScheduler""",
        ),
        20: Chapter(
            lambda: _("generative adversarial networks"),
            "update_D update_G",
        ),
        23: Chapter(
            lambda: _("appendix: tools"),
            """frozen_lake make_env show_value_function_progress show_Q_function_progress tokenize grad_clipping
        read_data_nmt preprocess_nmt tokenize_nmt truncate_pad build_array_nmt load_data_nmt sequence_mask
        MaskedSoftmaxCELoss train_seq2seq predict_seq2seq""",
        ),
    },
)


def chapters_of(name: str) -> list[tuple[int, str, Edition]]:
    """Return number and subject of the chapter that defines `name`, for each edition that has it."""
    return [
        (number, chapter.subject(), edition)
        for edition in (CHINESE, ENGLISH)
        for number, chapter in edition.chapters.items()
        if name in chapter.names.split()
    ]


def other_names() -> list[str]:
    """Return all names of these chapters."""
    chapters = [chapter for edition in (CHINESE, ENGLISH) for chapter in edition.chapters.values()]
    return sorted({name for chapter in chapters for name in chapter.names.split()})
