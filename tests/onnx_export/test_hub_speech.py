"""Published Wav2Vec2 checkpoints: loaded from a folder, exported, and run over windows as torch runs them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spoken import check_any_chunks, voice

torch = pytest.importorskip("torch", reason="needs the [train] extra")
transformers = pytest.importorskip("transformers", reason="needs the [train] extra")

from media2face.models.speech_encoder.hub import HubSpeech, Window, load_hub  # noqa: E402
from media2face.onnx_export import hub_speech  # noqa: E402
from media2face.runtime.errors import AudioError, ModelError  # noqa: E402
from media2face.runtime.sampler import MotionSampler  # noqa: E402
from media2face.runtime.speech import SpeechEncoder  # noqa: E402
from media2face.runtime.speech_window import WindowedSpeechEncoder, load_speech_encoder  # noqa: E402

WINDOW = Window(left=20, hop=4, lookahead=6)


@pytest.fixture(scope="module")
def exported(wav2vec2_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    hub_speech.export(load_hub(wav2vec2_folder), "tiny", folder, WINDOW)
    return folder


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_streamed_features_are_those_of_transformers_on_the_same_windows(tmp_path, norm, stable, save_wav2vec2):
    """Against transformers' own model and feature extractor, not against this project's wrapper of them."""
    folder = save_wav2vec2(tmp_path / "model", norm, stable)
    hub_speech.export(load_hub(folder), "tiny", tmp_path, WINDOW)
    x = voice(1.5)
    stream = WindowedSpeechEncoder(tmp_path, providers="cpu").stream()
    stream.accept_waveform(x)
    features = stream.read()[1]
    model = transformers.Wav2Vec2Model.from_pretrained(folder).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    worst, least = 0.0, np.inf
    for first in range(0, len(features), WINDOW.hop):
        begin = max(0, first - WINDOW.left)
        piece = x[320 * begin : 320 * (first + WINDOW.hop - 1 + WINDOW.lookahead) + 400]
        with torch.no_grad():
            inputs = extractor(piece, sampling_rate=16_000, return_tensors="pt").input_values
            wanted = model(inputs).last_hidden_state[0].numpy()[first - begin :][: WINDOW.hop]
        worst = max(worst, float(np.abs(features[first : first + WINDOW.hop] - wanted).max()))
        least = min(least, float(np.abs(wanted).mean()))
    assert len(features) == 68 and worst <= 1e-4 and least > 0.1
    assert hub_speech.parity(load_hub(folder), tmp_path, 1.0) <= 1e-4


def test_without_normalisation_loudness_matters_and_the_record_says_so(tmp_path, wav2vec2_folder, exported):
    path = hub_speech.export(load_hub(wav2vec2_folder, normalise=False), "tiny", tmp_path, WINDOW)
    plain, normed = WindowedSpeechEncoder(tmp_path, "cpu"), WindowedSpeechEncoder(exported, "cpu")
    assert path.is_file() and plain.model.meta["normalise"] is False and normed.model.meta["normalise"] is True
    x = voice(0.6) * np.linspace(0.1, 1.0, 9600, dtype=np.float32) + 0.05
    assert np.abs(normed.encode(3 * x)[:20] - normed.encode(x)[:20]).max() < 1e-3
    assert np.abs(plain.encode(3 * x)[:20] - plain.encode(x)[:20]).max() > 1e-2
    assert plain.fingerprint != normed.fingerprint


def test_any_chunks_give_the_same_features(exported):
    check_any_chunks(WindowedSpeechEncoder(exported, "cpu"), voice(2.3), (37, 1000, 30_000))


def test_a_block_is_known_exactly_when_its_window_has_come(exported):
    encoder, x = WindowedSpeechEncoder(exported, "cpu"), voice(1.0)
    stream = encoder.stream()
    due = 320 * (4 + 3 + 6) + 400
    assert [encoder.samples_for(j) for j in (3, 4, 7, 8)] == [due - 4 * 320, due, due, due + 4 * 320]
    stream.accept_waveform(x[: due - 1])
    assert stream.available == 4
    stream.accept_waveform(x[due - 1 : due])
    assert stream.available == 8
    assert encoder.lookahead_s == pytest.approx((320 * 9 + 200) / 16_000)


def test_what_lies_beyond_the_window_does_not_matter(exported):
    encoder, x = WindowedSpeechEncoder(exported, "cpu"), voice(2.0)
    other = x.copy()
    other[: 320 * 20] = voice(2.0, 9)[: 320 * 20]  # more than 20 features before feature 40
    a, b = encoder.encode(x), encoder.encode(other)
    assert np.array_equal(a[40:], b[40:]) and not np.allclose(a[36:40], b[36:40])


@pytest.mark.parametrize("samples", [0, 1, 399, 16_000, 23_333])
def test_the_end_covers_the_motion(exported, samples):
    features = WindowedSpeechEncoder(exported, "cpu").encode(voice(2.0)[:samples])
    frames = -(-samples * 30 // 16_000) + 8
    assert (320 * (len(features) - 1) + 200) / 16_000 >= frames / 30
    assert len(features) * 320 < samples + 16_000 and np.isfinite(features).all()


def test_reset_streams_and_bad_samples(exported):
    encoder, x = WindowedSpeechEncoder(exported, "cpu"), voice(1.0)
    stream, other = encoder.stream(), encoder.stream()
    stream.accept_waveform(voice(0.7, 5))
    stream.reset()
    bad = x.copy()
    bad[4000:4010] = np.nan
    for at in range(0, len(x), 800):
        stream.accept_waveform(bad[at : at + 800])
        other.accept_waveform(x[at : at + 800])
    for s, audio in ((stream, np.nan_to_num(bad)), (other, x)):
        s.input_finished()
        first, features = s.read()
        assert first == 0 and np.array_equal(features, encoder.encode(audio))
    assert stream.bad_samples == 10 and other.bad_samples == 0
    with pytest.raises(AudioError, match="reset"):
        other.accept_waveform(x)
    with pytest.raises(AudioError, match="mono"):
        encoder.stream().accept_waveform(np.zeros((2, 9), np.float32))
    with pytest.raises(AudioError, match="no phones"):
        encoder.stream(with_phones=True)


def test_several_windows_at_once_are_the_same_as_one_by_one(exported):
    run = WindowedSpeechEncoder(exported, "cpu").model.run
    audio = np.stack([voice(0.5, s) for s in range(3)])
    together = run({"audio": audio})["features"]
    alone = [run({"audio": a[None]})["features"][0] for a in audio]
    assert together.shape == (3, 24, 32) and np.abs(together - np.stack(alone)).max() <= 1e-5


def test_the_window_and_the_weights_make_the_fingerprint(tmp_path, wav2vec2_folder, exported, save_wav2vec2):
    first = WindowedSpeechEncoder(exported, "cpu").fingerprint
    hub_speech.export(load_hub(wav2vec2_folder), "tiny", tmp_path / "a", WINDOW)
    hub_speech.export(load_hub(wav2vec2_folder), "tiny", tmp_path / "b", Window(20, 4, 7))
    hub_speech.export(load_hub(save_wav2vec2(tmp_path / "c", seed=1)), "tiny", tmp_path / "d", WINDOW)
    again, other_window, other_weights = (WindowedSpeechEncoder(tmp_path / d, "cpu").fingerprint for d in "abd")
    assert again == first and len({first, other_window, other_weights}) == 3


def test_names_of_old_checkpoints_are_understood(tmp_path, wav2vec2_folder, save_wav2vec2):
    """The published files call the weight norm of the positional convolution weight_g and weight_v."""
    from safetensors.torch import load_file, save_file

    folder = save_wav2vec2(tmp_path)
    state = load_file(folder / "model.safetensors")
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    renamed = {k: v for k, v in state.items() if "pos_conv" not in k}
    for key in state.keys() - renamed.keys():
        renamed[next((key.replace(new, o) for new, o in old.items() if new in key), key)] = state[key]
    assert any(k.endswith("weight_g") for k in renamed)
    head = {"lm_head.weight": torch.zeros(8, 32), "lm_head.bias": torch.zeros(8)}
    ctc = {f"wav2vec2.{k}": v for k, v in renamed.items() if k != "masked_spec_embed"} | head
    save_file(ctc, folder / "model.safetensors", {"format": "pt"})
    x = torch.from_numpy(voice(0.5)[None])
    with torch.no_grad():
        assert torch.allclose(load_hub(folder)(x), load_hub(wav2vec2_folder)(x), atol=1e-6)


class TestRefused:
    def test_no_such_folder(self, tmp_path):
        for name in (tmp_path / "absent", str(tmp_path / "absent"), "./absent", ""):
            with pytest.raises(FileNotFoundError, match="found none"):
                load_hub(name)

    def test_another_kind_of_model(self, tmp_path):
        transformers.HubertConfig(num_hidden_layers=1).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="'hubert', expected a 'wav2vec2'"):
            load_hub(tmp_path)

    def test_no_configuration(self, tmp_path):
        with pytest.raises(ValueError, match="config.json"):
            load_hub(tmp_path)

    def test_another_rate(self, tmp_path, save_wav2vec2):
        folder = save_wav2vec2(tmp_path)
        record = json.loads((folder / "preprocessor_config.json").read_text()) | {"sampling_rate": 8000}
        (folder / "preprocessor_config.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match="8000 Hz, expected 16000"):
            load_hub(folder)

    def test_another_stride(self, tmp_path, save_wav2vec2):
        folder = save_wav2vec2(tmp_path, conv_stride=(5, 2, 2, 2, 2, 2, 1))
        with pytest.raises(ValueError, match="400 samples every 160"):
            load_hub(folder)

    def test_a_pickle(self, tmp_path, save_wav2vec2):
        folder = save_wav2vec2(tmp_path)
        (folder / "model.safetensors").unlink()
        torch.save(transformers.Wav2Vec2Model.from_pretrained, folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"pickled checkpoints are refused"):
            load_hub(folder)

    def test_damaged_weights(self, tmp_path, save_wav2vec2):
        folder = save_wav2vec2(tmp_path)
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="cannot be read"):
            load_hub(folder)

    def test_missing_weights_are_not_made_up(self, tmp_path, save_wav2vec2):
        from safetensors.torch import load_file, save_file

        folder = save_wav2vec2(tmp_path)
        state = load_file(folder / "model.safetensors")
        gone = next(k for k in state if "layers.1.attention.q_proj" in k)
        save_file({k: v for k, v in state.items() if k != gone}, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=r"layers\.1\.attention\.q_proj"):
            load_hub(folder)

    def test_too_large_for_one_file(self, tmp_path):
        transformers.Wav2Vec2Config(hidden_size=1280, num_hidden_layers=48, num_attention_heads=16).save_pretrained(
            tmp_path
        )
        with pytest.raises(ValueError, match="M parameters"):
            load_hub(tmp_path)

    def test_a_window_out_of_range(self):
        for bad in ({"left": 0}, {"hop": 0}, {"lookahead": -1}, {"hop": 101}):
            with pytest.raises(ValueError, match=next(iter(bad))):
                Window(**bad)

    def test_a_record_without_a_window(self, tmp_path, exported):
        import onnx

        proto = onnx.load(str(exported / "speech_hub.onnx"))
        record = json.loads(proto.metadata_props[0].value)
        del record["window"]
        proto.metadata_props[0].value = json.dumps(record)
        onnx.save(proto, str(tmp_path / "speech_hub.onnx"))
        with pytest.raises(ModelError, match="hub_speech"):
            load_speech_encoder(tmp_path, "cpu")

    def test_a_denoiser_of_the_shipped_encoder(self, exported):
        with pytest.raises(ModelError, match="train the model again on this encoder"):
            MotionSampler(providers="cpu", speech_fingerprint=WindowedSpeechEncoder(exported, "cpu").fingerprint)


def test_a_missing_preprocessor_is_said(tmp_path, caplog, save_wav2vec2):
    folder = save_wav2vec2(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    assert load_hub(folder).normalise and "no preprocessor_config.json" in caplog.text
    assert not load_hub(folder, normalise=False).normalise


def test_the_command_makes_a_whole_weights_folder(tmp_path, wav2vec2_folder, caplog):
    hub_speech.main(["--model", str(wav2vec2_folder), "--out", str(tmp_path), "--left", "0.4", "--hop", "0.08",
                     "--lookahead", "0.1"])  # fmt: skip
    encoder = load_speech_encoder(tmp_path, "cpu")
    assert isinstance(encoder, WindowedSpeechEncoder) and (encoder.left, encoder.hop, encoder.lookahead) == (20, 4, 5)
    assert (tmp_path / "denoiser.onnx").is_file() and len(SpeechEncoder(tmp_path, "cpu").phones) == 42
    assert isinstance(load_speech_encoder(providers="cpu"), SpeechEncoder)


def test_without_a_network_the_command_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit) as stop:
        hub_speech.main(["--model", "facebook/never-cached", "--out", str(tmp_path / "new")])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "could not be reached" in said and "--local-dir" in said
    assert not (tmp_path / "new").exists()


def test_the_wrapper_leaves_no_trace_of_training(wav2vec2_folder):
    model = load_hub(wav2vec2_folder)
    assert isinstance(model, HubSpeech) and not model.wav2vec2.training
    x = torch.from_numpy(voice(0.5)[None])
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
