"""Words of other programs for what is typed here: keys and options by the names that timm, Hugging Face, Lightning,
torchvision and argparse users know."""

import difflib
import re

# Full key -> words for its last part. A word may stand for several keys: all that the configuration has are named.
TRAIN = {
    "seed": "random_seed manual_seed random_state global_seed rng_seed",
    "init_from": "pretrained ckpt checkpoint load load_from weights pretrained_weights finetune finetune_from"
    " model_name_or_path",
    "resume": "ckpt checkpoint load ckpt_path resume_from resume_from_checkpoint auto_resume continue run",
    "experiment": "exp config cfg recipe conf",
    "hydra.run.dir": "output output_dir out out_dir outdir save_dir logdir log_dir logging_dir results_dir work_dir"
    " default_root_dir run_dir save_path",
    "optimizer": "opt optim",
    "optimizer.learning_rate": "lr learningrate base_lr max_lr peak_lr init_lr blr step_size alpha",
    "optimizer.weight_decay": "wd decay weightdecay l2 weight_reg",
    "optimizer.warmup": "warm_up warmup_steps warmup_epochs warmup_ratio num_warmup_steps lr_warmup_epochs",
    "optimizer.schedule": "sched scheduler lr_scheduler lr_schedule lr_scheduler_type",
    "optimizer.final_share": "min_lr lr_min eta_min final_lr",
    "optimizer.max_gradient_norm": "clip clip_grad grad_clip clip_norm clip_grad_norm max_grad_norm gradient_clip_val",
    "optimizer.ema": "model_ema ema_decay model_ema_decay use_ema",
    "optimizer.beta_1": "beta1 adam_beta1 betas",
    "optimizer.beta_2": "beta2 adam_beta2 betas",
    "optimizer.epsilon": "eps opt_eps adam_epsilon",
    "optimizer.layer_decay": "llrd lld layerwise_decay layer_wise_decay",
    "optimizer.frozen": "freeze freeze_layers frozen_layers freeze_backbone",
    "trainer.epochs": "epoch num_epochs n_epochs nb_epochs max_epochs num_train_epochs",
    "trainer.steps": "step num_steps n_steps max_steps total_steps train_steps num_train_steps iterations iters"
    " num_iterations max_iters",
    "trainer.accumulate_steps": "accumulation grad_accum grad_accum_steps gradient_accumulation"
    " gradient_accumulation_steps accumulate_grad_batches",
    "trainer.evaluate_every": "eval_steps eval_every eval_interval eval_freq val_check_interval"
    " check_val_every_n_epoch",
    "trainer.log_every": "log_interval log_steps logging_steps log_every_n_steps print_freq log_freq",
    "trainer.checkpoint_every": "save_steps save_every save_interval save_freq checkpoint_interval",
    "trainer.keep_checkpoints": "save_total_limit save_top_k checkpoint_hist",
    "trainer.early_stopping": "patience early_stop earlystopping early_stopping_patience",
    "trainer.dtype_policy": "fp16 bf16 float16 bfloat16 half amp amp_dtype precision mixed_precision dtype",
    "trainer.jit_compile": "compile torch_compile torchcompile jit xla",
    "trainer.deterministic": "determinism cudnn_deterministic",
    "data": "dataset datasets data_set dataset_name ds",
    "data.root": "path data_path dataset_path dataset_dir root root_dir folder image_folder imagefolder dir image_dir"
    " img_dir images train_dir train_path data_root data_folder",
    "data.data_dir": "datadir cache_dir tfds_dir data_cache",
    "data.file": "csv csv_file jsonl train_file annotations annotation_file captions_file",
    "data.batch_size": "batch bs batchsize batch_sz train_batch_size per_device_train_batch_size per_gpu_batch_size",
    "data.image_size": "img_size imgsize imgsz img image_res resolution input_size crop_size train_crop_size",
    "data.num_workers": "workers n_workers dataloader_num_workers num_proc threads",
    "data.num_classes": "classes n_classes nb_classes num_labels nclass",
    "data.channels": "in_chans in_channels num_channels in_chan",
    "data.validation_share": "val_split val_size val_ratio valid_size validation_split val_fraction val_percent",
    "data.validation_split": "val_split val_name valid_split",
    "data.test_share": "test_size test_ratio test_split",
    "data.class_weights": "class_weight weighted balanced weighted_sampler",
    "data.augmentation": "aug augment augmentations transforms transform data_augmentation",
    "data.augmentation.flip": "hflip horizontal_flip random_flip random_horizontal_flip fliplr",
    "data.augmentation.mixup": "mixup_alpha mix_up",
    "data.augmentation.cutmix": "cutmix_alpha cut_mix",
    "data.augmentation.mix_probability": "mixup_prob cutmix_prob",
    "data.augmentation.erasing": "reprob random_erase random_erasing random_erase_prob erase",
    "data.augmentation.color_jitter": "colorjitter jitter",
    "data.augmentation.randaugment_operations": "aa auto_augment autoaugment randaugment rand_augment randaug",
    "data.augmentation.random_resized_crop": "rrc random_crop scale min_scale",
    "data.augmentation.repeats": "repeated_aug aug_repeats repeated_augmentation",
    "data.max_text_length": "max_seq_length max_seq_len max_tokens context_length",
    "data.vocabulary_size": "vocab_size vocab n_vocab",
    "model": "net network",
    "model.variant": "arch architecture backbone model_name model_size size",
    "model.depth": "layers num_layers n_layers n_layer num_hidden_layers blocks num_blocks n_blocks",
    "model.num_heads": "heads head n_heads n_head nhead nheads num_attention_heads attention_heads",
    "model.embed_dim": "dim width hidden hidden_dim hidden_size d_model n_embd emb_dim embedding_dim embed_size",
    "model.mlp_ratio": "mlp mlp_dim ffn_dim ff_dim intermediate_size dim_feedforward",
    "model.patch_size": "patch patches patchsize",
    "model.dropout_rate": "dropout drop drop_rate p_drop hidden_dropout_prob",
    "model.attention_dropout_rate": "attn_drop attn_dropout attention_dropout attn_drop_rate"
    " attention_probs_dropout_prob",
    "model.drop_path_rate": "drop_path droppath stochastic_depth drop_path_prob",
    "model.patch_dropout_rate": "patch_drop patch_drop_rate patch_dropout",
    "model.num_register_tokens": "registers reg_tokens num_registers n_registers num_reg_tokens",
    "model.pooling": "pool global_pool pool_type",
    "model.class_token": "cls cls_token use_cls_token",
    "model.position_embedding": "pos_embed pos_emb pos_embedding positional_encoding position_embeddings",
    "model.layer_scale_init": "layer_scale layerscale init_values ls_init",
    "model.logit_scale_init": "temperature logit_scale",
    "task.label_smoothing": "smoothing labelsmoothing label_smoothing_factor",
    "task.loss": "criterion loss_fn bce bce_loss loss_function",
    "task.beam_size": "beam beams num_beams beam_width",
    "attention_maps": "attention attn maps attn_maps",
    "attention_maps.captures": "num_captures capture",
    "attention_maps.num_probes": "probes",
    "sinks.wandb.mode": "wandb use_wandb no_wandb report_to logger wandb_mode",
    "sinks.wandb.project": "project project_name wandb_project",
    "sinks.wandb.entity": "entity team wandb_entity",
    "sinks.wandb.name": "name run_name exp_name experiment_name wandb_name wandb_run_name",
    "sinks.wandb.group": "group wandb_group",
    "sinks.wandb.tags": "tags tag wandb_tags",
    "sinks.console.progress": "progress progress_bar verbose quiet tqdm",
}
EVALUATE = {
    "run": "path dir folder run_dir run_folder model model_path ckpt ckpt_path load weights resume experiment exp",
    "checkpoint": "which epoch",
    "images": "image img imgs input inputs picture pictures image_dir image_path files source",
    "text": "prompt question caption query sentence",
    "target": "class label explain target_class",
    "classes": "class_names labels names",
    "batch_size": "batch bs batchsize",
    "split": "subset data dataset",
    "limit": "max_examples num_examples max_samples num_samples n",
    "num_probes": "probes num_images",
    "num_trust": "trust",
    "sinks.wandb.mode": "wandb use_wandb no_wandb report_to logger wandb_mode",
    "sinks.wandb.project": "project project_name wandb_project",
}
# What other programs let one choose and this one does by itself.
NO_KEY = {
    "gpus gpu device devices accelerator num_gpus n_gpu ngpus cuda use_cuda no_cuda cpu": (
        "a GPU is used where TensorFlow sees one; CUDA_VISIBLE_DEVICES= before the command hides it"
    ),
    "momentum nesterov": "AdamW, the default, has beta_1; optimizer=muon has momentum",
    "pin_memory persistent_workers prefetch prefetch_factor shuffle drop_last": "there is nothing to choose",
}
OPTIONS = {
    "model": {
        "vision_transformer": "vit transformer deit vits beit",
        "dual_encoder": "clip siglip align two_tower contrastive",
        "captioner": "blip coca captioning caption image_captioning git",
        "question_answering": "vqa vilt lxmert qa",
        "small": "tiny vit_tiny vit_small compact cct vit_lite",
    },
    "data": {
        "image_folder": "folder imagefolder images dir directory image_dir own custom",
        "pairs": "csv jsonl json captions image_text",
        "labels_file": "csv table labels",
        "huggingface": "hf hub datasets parquet arrow webdataset",
        "oxford_flowers102": "flowers flowers102 oxford_flowers",
        "imagenet2012": "imagenet imagenet1k imagenet_1k ilsvrc ilsvrc2012 in1k",
        "coco_captions": "coco mscoco",
        "fashion_mnist": "fashionmnist fmnist fashion",
        "tfds": "tensorflow_datasets tensorflow",
        "cifar10": "cifar",
        "cifar100": "cifar",
        "scenes": "synthetic toy rendered default dummy",
    },
    "task": {
        "classification": "classify classifier image_classification supervised",
        "contrastive": "clip siglip retrieval",
        "captioning": "caption captions image_captioning",
        "question_answering": "vqa qa",
        "multilabel": "multi_label multilabel_classification",
    },
    "optimizer": {"adamw": "adam", "schedule_free": "schedulefree", "lion": "sign"},
    "sinks": {"default": "wandb", "local": "none off null disabled offline no_wandb console"},
    "attention_maps": {"default": "on true yes", "off": "none false no disabled null"},
}
SIZES = {"ti": "Ti", "tiny": "Ti", "s": "S", "small": "S", "b": "B", "base": "B", "l": "L", "large": "L"}
_VARIANT = re.compile(r"(?:.*/)?(?:(?:vit|deit3?)[-_]?)?([a-z]+)[-_/]?(?:patch)?(\d{1,2})(?!\d).*")
_SIZE = re.compile(r"(?:.*/)?(?:vit|deit3?)[-_]?([a-z]+)()")


def normal(word):
    """A word as the tables have it."""
    return word.casefold().replace("-", "_").strip("_")


def keys_for(word, name="train"):
    """The full keys that a word of other programs stands for; `name` is the script."""
    table = TRAIN if name == "train" else EVALUATE
    return [key for key, words in table.items() if normal(word) in words.split()]


def keys_near(word, name="train"):
    """As `keys_for`, of the nearest word of other programs: `lrr` is near `lr`."""
    table = TRAIN if name == "train" else EVALUATE
    near = difflib.get_close_matches(normal(word), " ".join(table.values()).split(), n=1, cutoff=0.8)
    return keys_for(near[0], name) if near else []


def why_no_key(word):
    """Why there is no key for a word of other programs; None where there may be one."""
    return next((why for words, why in NO_KEY.items() if normal(word) in words.split()), None)


def options_for(group, word):
    """The options of a group that a word of other programs stands for."""
    return [option for option, words in OPTIONS.get(group, {}).items() if normal(word) in words.split()]


def variant_of(name):
    """`B/16` of `vit_base_patch16_224` (timm), `google/vit-base-patch16-224` (Hugging Face), `vit_b_16` (torchvision)
    or `ViT-B/16`; 16 is the patch size of `vit_base`; None of anything else."""
    found = _VARIANT.fullmatch(name.casefold()) or _SIZE.fullmatch(name.casefold())
    return f"{SIZES[found[1]]}/{found[2] or 16}" if found and found[1] in SIZES else None
