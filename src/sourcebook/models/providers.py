"""Who serves models, and how each is spoken to: one row a provider.

A row's name is what stands before the colon of a model's URL. `opening.py` reads the URL and makes the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sourcebook.models.formats.openai_chat import Dialect


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One provider.

    title: its name, for people. example: a URL of a model there.
    format: "module:callable" below `sourcebook.models.formats`; called with the target, and the dialect if there is
    one, it gives the `WireFormat`.
    base: URL that paths follow, no slash at its end; "{option}" in it is filled from the URL's options or the
    environment. "" if only the user knows it. root: path that follows a base without one ("/v1").
    without: end of a base that vendors name and paths have themselves ("/openai/v1"), taken off. port: of a base that
    names neither scheme nor port; 0 leaves it to the scheme.
    keys: environment variables that hold the key, the first that is set counts; "A:B:C?" are variables whose values
    are joined by colons, the one with "?" only if set. keys_as: whose kept keys serve as well. key_needed: whether a
    call without a key is senseless.
    window: tokens of prompt and answer, where neither the URL nor the data on models says.
    options: name -> meaning, for what may stand in the URL besides what every URL may have. choices: option -> the
    values that it may have, if they are few.
    environment: option -> variables that give it where the URL does not ("base" is an option).
    defaults: option -> value where nothing gives it. headers: header -> option that gives its value.
    priced_as: whose prices and windows hold, if another provider's. window_option: the option that tells the server
    the window, where it must be told: then that is the window, whatever the model could. timeout: seconds of silence
    that are borne, where the URL does not say: longer where models think without a word, or are loaded first.
    notes: for the page about it, as Markdown. source: the vendor's page that this row follows.
    """

    title: str
    example: str
    source: str
    format: str = "openai_chat:OpenAIChat"
    dialect: Dialect | None = None
    base: str = ""
    root: str = ""
    without: str = ""
    port: int = 0
    keys: tuple[str, ...] = ()
    keys_as: str = ""
    key_needed: bool = True
    window: int = 8192
    options: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    priced_as: str = ""
    window_option: str = ""
    timeout: float = 120.0
    notes: str = ""


_CHAT = Dialect()
_REASONS = replace(_CHAT, effort=True)
_ORGANISATION = {
    "organization": "whom to bill, if the key belongs to several organisations",
    "project": "whom to bill, if the key belongs to several projects",
}
_YES_OR_NO = ("true", "false")
_KEEPS = {"keeps": "`true` or `false`: whether the model takes prompt-caching markers, where its name does not tell"}
_REASONS_TOLD = {"reasons": "`true` or `false`: whether the model thinks first, where its name does not tell"}
_GENERATION = (
    {"like": "the model behind a name that does not tell it (a deployment's, a gateway's)"}
    | _REASONS_TOLD
    | {"samples": "`true` or `false`: whether the model takes temperature and top_p, likewise"}
    | _KEEPS
)
_GENERATION_CHOICES = {"reasons": _YES_OR_NO, "samples": _YES_OR_NO, "keeps": _YES_OR_NO}
_GEMINI = {
    "thinking": "`budget`, `level` or `none`: how the model is asked to think, where its name does not tell",
    "continues": "`true`: the model goes on with a reply that was begun; some do",
}
_GEMINI_CHOICES = {"thinking": ("budget", "level", "none"), "continues": _YES_OR_NO}
_CLAUDE_CHOICES = {
    "thinking": ("budget", "adaptive", "none"),
    "samples": ("0", "1", "2"),
    "continues": _YES_OR_NO,
    "schema": _YES_OR_NO,
}
_ORGANISATION_HEADERS = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
CONTINUES_AS_VLLM: Mapping[str, object] = {"continue_final_message": True, "add_generation_prompt": False}
"""Fields that make vLLM, and servers after its model, go on with a reply that was begun."""
_THINKS = 600.0
_LOADS = 300.0
_OPENAI = Preset(
    title="OpenAI",
    timeout=_THINKS,
    example="openai:gpt-4o",
    source="platform.openai.com/docs/api-reference/chat",
    base="https://api.openai.com/v1",
    keys=("OPENAI_API_KEY",),
    window=128_000,
    options=_ORGANISATION | _GENERATION,
    choices=_GENERATION_CHOICES,
    environment={
        "base": ("OPENAI_BASE_URL",),
        "organization": ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"),
        "project": ("OPENAI_PROJECT_ID",),
    },
    headers=_ORGANISATION_HEADERS,
    notes="Chat completions. They never show reasoning, though they charge for it; `openai-responses:` shows it. What "
    "a model takes its name tells: one that reasons gets no temperature and is asked for no log probabilities, and "
    "stop sequences that it does not take are kept to here.",
)
_AZURE = Preset(
    title="Azure OpenAI",
    timeout=_THINKS,
    example="azure:my-deployment?base=https://my-resource.openai.azure.com",
    source="learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
    format="openai_chat:azure",
    base="https://{resource}.openai.azure.com",
    without="/openai/v1",
    keys=("AZURE_OPENAI_API_KEY",),
    window=128_000,
    options={
        "resource": "name of the Azure resource, in place of `base`",
        "api_version": "a dated API version such as `2024-10-21`: uses the paths with `/deployments/`",
    }
    | _GENERATION,
    choices=_GENERATION_CHOICES,
    environment={"base": ("AZURE_OPENAI_ENDPOINT",), "api_version": ("OPENAI_API_VERSION",)},
    notes="The model is the name of your deployment. Without `api_version` the undated v1 API is used.",
)

PRESETS: dict[str, Preset] = {
    "openai": _OPENAI,
    "openai-responses": replace(
        _OPENAI,
        title="OpenAI responses",
        example="openai-responses:gpt-5",
        source="platform.openai.com/docs/api-reference/responses",
        format="openai_responses:OpenAIResponses",
        priced_as="openai",
        keys_as="openai",
        notes="The responses API: summaries of the reasoning are shown, and the reasoning itself goes back, encrypted, "
        "with the next turn. Nothing is stored with the vendor (`store: false`).",
    ),
    "azure": _AZURE,
    "azure-responses": replace(
        _AZURE,
        title="Azure OpenAI responses",
        example="azure-responses:my-deployment?base=https://my-resource.openai.azure.com",
        format="openai_responses:azure",
        keys_as="azure",
        options={"resource": _AZURE.options["resource"]} | _GENERATION,
        environment={"base": ("AZURE_OPENAI_ENDPOINT",)},
        notes="The responses API of Azure's undated v1 API. The model is the name of your deployment.",
    ),
    "databricks": Preset(
        title="Databricks model serving",
        timeout=_LOADS,
        example="databricks:databricks-meta-llama-3-3-70b-instruct?base=https://my-workspace.cloud.databricks.com",
        source="docs.databricks.com/machine-learning/model-serving/score-foundation-models",
        dialect=_CHAT,
        root="/serving-endpoints",
        keys=("DATABRICKS_TOKEN",),
        window=128_000,
        environment={"base": ("DATABRICKS_HOST",)},
        notes="The model is the name of the serving endpoint, `base` the workspace.",
    ),
    "anyscale": Preset(
        title="Anyscale",
        timeout=_LOADS,
        example="anyscale:my-model?base=https://my-service.s.anyscaleuserdata.com",
        source="docs.anyscale.com/llm/serving",
        dialect=_CHAT,
        root="/v1",
        keys=("ANYSCALE_SERVICE_TOKEN", "ANYSCALE_API_KEY"),
        environment={"base": ("ANYSCALE_SERVICE_URL", "ANYSCALE_BASE_URL")},
        notes="Anyscale runs a service of your own (Ray Serve); `base` is the service's URL, the key its bearer token.",
    ),
    "modal": Preset(
        title="Modal",
        timeout=_LOADS,
        example="modal:my-model?base=https://my-workspace--my-app-serve.modal.run",
        source="modal.com/docs/guide/webhook-proxy-auth",
        dialect=_CHAT,
        root="/v1",
        keys=("MODAL_SERVER_API_KEY",),
        key_needed=False,
        notes="Modal runs a server of your own, mostly vLLM; the key is the one that you gave it. For endpoints behind "
        "Modal's proxy authorisation add `header_env.Modal-Key=MODAL_KEY&header_env.Modal-Secret=MODAL_SECRET`, the "
        "names of the environment variables that hold the proxy token.",
    ),
    "runpod": Preset(
        title="RunPod",
        timeout=_LOADS,
        example="runpod:mistralai/Mistral-7B-Instruct-v0.2?endpoint=abc123",
        source="docs.runpod.io/serverless/vllm/openai-compatibility",
        dialect=_CHAT,
        base="https://api.runpod.ai/v2/{endpoint}/openai/v1",
        keys=("RUNPOD_API_KEY",),
        options={"endpoint": "id of the serverless endpoint"},
        environment={"endpoint": ("RUNPOD_ENDPOINT_ID",)},
        notes="A serverless endpoint with RunPod's vLLM worker. A cold start may take minutes: raise `timeout`.",
    ),
    "together": Preset(
        title="Together AI",
        example="together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
        source="docs.together.ai/docs/openai-api-compatibility",
        dialect=_REASONS,
        base="https://api.together.xyz/v1",
        keys=("TOGETHER_API_KEY",),
        window=32_768,
    ),
    "groq": Preset(
        title="Groq",
        example="groq:llama-3.3-70b-versatile",
        source="console.groq.com/docs/api-reference",
        dialect=replace(
            _REASONS,
            limit="max_completion_tokens",
            capabilities=replace(_REASONS.capabilities, logprobs=False),
        ),
        base="https://api.groq.com/openai/v1",
        keys=("GROQ_API_KEY",),
        window=131_072,
    ),
    "openrouter": Preset(
        title="OpenRouter",
        example="openrouter:meta-llama/llama-3.3-70b-instruct",
        source="openrouter.ai/docs/api-reference",
        dialect=replace(_REASONS, keep={"cache_control": {"type": "ephemeral"}}, thoughts="reasoning"),
        base="https://openrouter.ai/api/v1",
        keys=("OPENROUTER_API_KEY",),
        window=128_000,
        notes="What a model can do depends on who serves it there.",
    ),
    "mistral": Preset(
        title="Mistral AI",
        example="mistral:mistral-small-latest",
        source="docs.mistral.ai/api",
        dialect=replace(
            _CHAT,
            seed="random_seed",
            usage_option=False,
            continues={},
            continues_message={"prefix": True},
            capabilities=replace(_CHAT.capabilities, logprobs=False),
        ),
        base="https://api.mistral.ai/v1",
        keys=("MISTRAL_API_KEY",),
        window=128_000,
    ),
    "deepseek": Preset(
        title="DeepSeek",
        example="deepseek:deepseek-chat",
        source="api-docs.deepseek.com/api/create-chat-completion",
        dialect=replace(
            _CHAT,
            thoughts="reasoning_content",
            capabilities=replace(_CHAT.capabilities, images=False, schema=False, seed=False),
        ),
        base="https://api.deepseek.com",
        keys=("DEEPSEEK_API_KEY",),
        window=64_000,
        notes="It can be asked for JSON, not for JSON of a schema, so a schema is not declared.",
    ),
    "fireworks": Preset(
        title="Fireworks AI",
        example="fireworks:accounts/fireworks/models/llama-v3p3-70b-instruct",
        source="docs.fireworks.ai/api-reference/post-chatcompletions",
        dialect=replace(_REASONS, thoughts="reasoning_content"),
        base="https://api.fireworks.ai/inference/v1",
        keys=("FIREWORKS_API_KEY",),
        window=128_000,
    ),
    "xai": Preset(
        title="xAI",
        timeout=_THINKS,
        example="xai:grok-4",
        source="docs.x.ai/docs/api-reference",
        dialect=replace(_REASONS, limit="max_completion_tokens"),
        base="https://api.x.ai/v1",
        keys=("XAI_API_KEY",),
        window=128_000,
    ),
    "cerebras": Preset(
        title="Cerebras",
        example="cerebras:llama-3.3-70b",
        source="inference-docs.cerebras.ai/api-reference/chat-completions",
        dialect=replace(
            _REASONS,
            limit="max_completion_tokens",
            capabilities=replace(_REASONS.capabilities, images=False),
        ),
        base="https://api.cerebras.ai/v1",
        keys=("CEREBRAS_API_KEY",),
    ),
    "nvidia": Preset(
        title="NVIDIA NIM",
        example="nvidia:meta/llama-3.3-70b-instruct",
        source="docs.api.nvidia.com/nim/reference/llm-apis",
        dialect=_CHAT,
        base="https://integrate.api.nvidia.com/v1",
        keys=("NVIDIA_API_KEY",),
        window=128_000,
        notes="For a NIM of your own give its `base`.",
    ),
    "huggingface": Preset(
        title="Hugging Face Inference Providers",
        timeout=_LOADS,
        example="huggingface:meta-llama/Llama-3.3-70B-Instruct:groq",
        source="huggingface.co/docs/inference-providers/tasks/chat-completion",
        dialect=_CHAT,
        base="https://router.huggingface.co/v1",
        keys=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        window=32_768,
        options={"bill_to": "the organisation that pays"},
        headers={"X-HF-Bill-To": "bill_to"},
        notes="The router picks who serves the model; a provider, `fastest` or `cheapest` after a colon decides it. "
        "For a dedicated Inference Endpoint use `tgi:`, `vllm:` or a URL, according to what runs in it.",
    ),
    "tgi": Preset(
        title="text-generation-inference",
        timeout=_LOADS,
        example="tgi:HuggingFaceTB/SmolLM2-1.7B-Instruct?base=http://localhost:8080",
        source="huggingface.co/docs/text-generation-inference",
        format="huggingface:TextGeneration",
        base="http://127.0.0.1:8080",
        keys=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        key_needed=False,
        options={
            "template": "`server` (default): the server puts the messages into the model's own template; `plain`: "
            "their texts are joined by blank lines, for models without one"
        },
        choices={"template": ("server", "plain")},
        notes="The native routes: log probabilities of every token, exact counts, replies that can be continued. Tools "
        "and images need `tgi-chat:`.",
    ),
    "tgi-chat": Preset(
        title="text-generation-inference, chat route",
        timeout=_LOADS,
        example="tgi-chat:tgi?base=http://localhost:8080",
        source="huggingface.co/docs/text-generation-inference/messages_api",
        dialect=_CHAT,
        base="http://127.0.0.1:8080",
        root="/v1",
        keys=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        keys_as="tgi",
        key_needed=False,
    ),
    "vllm": Preset(
        title="vLLM",
        timeout=_LOADS,
        example="vllm:Qwen/Qwen2.5-7B-Instruct?base=http://localhost:8000",
        source="docs.vllm.ai/en/latest/serving/openai_compatible_server",
        dialect=replace(
            _REASONS,
            continues=CONTINUES_AS_VLLM,
            thoughts="reasoning",
        ),
        base="http://127.0.0.1:8000",
        root="/v1",
        keys=("VLLM_API_KEY",),
        key_needed=False,
    ),
    "llama-server": Preset(
        title="llama.cpp server",
        timeout=_LOADS,
        example="llama-server:qwen2.5-7b?base=http://localhost:8080",
        source="github.com/ggml-org/llama.cpp/tree/master/tools/server",
        dialect=replace(_CHAT, continues={}, thoughts="reasoning_content"),
        base="http://127.0.0.1:8080",
        root="/v1",
        keys=("LLAMA_API_KEY",),
        key_needed=False,
        notes="Reports no name of its own for most models; what stands after the colon is what records show.",
    ),
    "lmstudio": Preset(
        title="LM Studio",
        timeout=_LOADS,
        example="lmstudio:qwen2.5-7b-instruct",
        source="lmstudio.ai/docs/app/api/endpoints/openai",
        dialect=replace(_CHAT, capabilities=replace(_CHAT.capabilities, logprobs=False)),
        base="http://127.0.0.1:1234",
        root="/v1",
        keys=("LMSTUDIO_API_KEY",),
        key_needed=False,
    ),
    "ollama": Preset(
        title="Ollama",
        timeout=_LOADS,
        example="ollama:llama3.2:3b",
        source="github.com/ollama/ollama/blob/main/docs/api.md",
        format="ollama:Ollama",
        base="http://127.0.0.1:11434",
        port=11434,
        keys=("OLLAMA_API_KEY",),
        key_needed=False,
        options={
            "num_ctx": "tokens that the server holds of prompt and answer (default 8192); the same as `window`",
            "keep_alive": "how long the model stays loaded after a call (`10m`, `-1` for ever)",
        },
        environment={"base": ("OLLAMA_HOST",)},
        window_option="num_ctx",
        notes="The window is sent with every call, so that what prompts are packed for is what there is; memory for it "
        "is taken when the model is loaded. A prompt that does not fit is an error: Ollama alone would cut it at its "
        "beginning without a word.",
    ),
    "replicate": Preset(
        title="Replicate",
        timeout=_LOADS,
        example="replicate:meta/meta-llama-3-70b-instruct",
        source="replicate.com/docs/reference/http",
        format="replicate:Replicate",
        base="https://api.replicate.com/v1",
        keys=("REPLICATE_API_TOKEN", "REPLICATE_API_KEY"),
        options={
            "version": "id of a version, for models that are not official ones (or `owner/name:version`)",
            "deployment": "`true`: the model is a deployment of yours, owner/name",
            "template": "`plain` (default): the turns of a conversation are written one after the other with their "
            "roles; `chatml`, `llama3`, `mistral`: with the marks that such a model was trained with",
            "limit": "the model's input that bounds the reply's tokens (default `max_tokens`)",
            "images": "the model's input that takes pictures (`image`, `image_input`); without it there are none",
            "wait": "seconds, 1 to 60, that the first call waits for a reply that is not streamed (default 1); until "
            "it returns the prediction cannot be cancelled",
        },
        choices={"deployment": _YES_OR_NO, "template": ("plain", "chatml", "llama3", "mistral")},
        notes="Predictions: the reply is streamed where the model can, and fetched when it is ready where it cannot. "
        "Cancelling a call cancels the prediction, so that it is not charged further.",
    ),
    "anthropic": Preset(
        title="Anthropic",
        example="anthropic:claude-sonnet-5",
        source="platform.claude.com/docs/en/api/messages",
        format="anthropic:Anthropic",
        base="https://api.anthropic.com",
        keys=("ANTHROPIC_API_KEY",),
        window=200_000,
        options={
            "thinking": "`budget`, `adaptive` or `none`: how the model is asked to think, where its name does not tell",
            "samples": "how many of temperature and top_p the model takes at once (`0`, `1`, `2`), likewise",
            "continues": "`true` or `false`: whether the model goes on with a reply that was begun, likewise",
            "schema": "`true` or `false`: whether the model is held to a JSON schema as such, likewise",
            "auth": "`bearer`: the key is sent as a bearer token, as some gateways want it",
        },
        choices=_CLAUDE_CHOICES | {"auth": ("bearer",)},
        environment={"base": ("ANTHROPIC_BASE_URL",)},
        notes="And whatever else speaks Anthropic's messages, by its `base`. What a Claude accepts its name tells: "
        "models since 4.6 do not go on with a reply that was begun, models since 4.7 take no temperature. A budget to "
        "think with is a part of the reply's tokens.",
    ),
    "cohere": Preset(
        title="Cohere",
        example="cohere:command-a-03-2025",
        source="docs.cohere.com/reference/chat",
        format="cohere:Cohere",
        base="https://api.cohere.com",
        keys=("CO_API_KEY", "COHERE_API_KEY"),
        window=128_000,
        options={"images": "`true` or `false`: whether the model sees pictures, where its name does not tell"}
        | _REASONS_TOLD,
        choices={"images": _YES_OR_NO, "reasons": _YES_OR_NO},
        environment={"base": ("CO_API_URL",)},
        notes="Tokens are counted as they are billed, without those of the prompt that Cohere puts around yours.",
    ),
    "bedrock": Preset(
        title="AWS Bedrock",
        timeout=_THINKS,
        example="bedrock:eu.anthropic.claude-sonnet-4-5-20250929-v1:0?region=eu-central-1",
        source="docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
        format="bedrock:Bedrock",
        base="https://bedrock-runtime.amazonaws.com",
        keys=("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID:AWS_SECRET_ACCESS_KEY:AWS_SESSION_TOKEN?"),
        key_needed=False,
        window=128_000,
        options={
            "region": "the AWS region; else that of the model's ARN, or of the profile",
            "profile": "a profile of `~/.aws/credentials` and `~/.aws/config`, where no key is set",
            "like": "the id of the model behind an ARN that does not name it",
            "thinking": "of a Claude: `budget`, `adaptive` or `none`, where its name does not tell",
            "samples": "of a Claude: how many of temperature and top_p it takes at once, likewise",
            "continues": "`true` or `false`: whether the model goes on with a reply that was begun, likewise",
            "schema": "`true` or `false`: whether the model is held to a JSON schema as such, likewise",
        }
        | _KEEPS,
        choices=_CLAUDE_CHOICES | {"keeps": _YES_OR_NO},
        environment={"base": ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME",), "region": ("AWS_REGION", "AWS_DEFAULT_REGION")},
        notes="The Converse API, for every model that it serves. A Bedrock API key, or an access key, which signs "
        "(`sourcebook key set bedrock` takes `ACCESS:SECRET`, or `ACCESS:SECRET:SESSION`), or a profile with an access "
        "key. Profiles that sign in or assume a role: `aws configure export-credentials --format env`.",
    ),
    "gemini": Preset(
        title="Google Gemini",
        timeout=_THINKS,
        example="gemini:gemini-2.5-flash",
        source="ai.google.dev/api/generate-content",
        format="gemini:Gemini",
        base="https://generativelanguage.googleapis.com",
        root="/v1beta",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        window=1_048_576,
        options=_GEMINI,
        choices=_GEMINI_CHOICES,
        environment={"base": ("GOOGLE_GEMINI_BASE_URL",)},
        notes="The native API. Thoughts are shown as summaries; their signatures go back with the next turn.",
    ),
    "vertex": Preset(
        title="Google Vertex AI",
        timeout=_THINKS,
        example="vertex:gemini-2.5-flash?project=my-project&location=europe-west1",
        source="cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
        format="gemini:Gemini",
        base="https://aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google",
        keys=("CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"),
        window=1_048_576,
        options={
            "project": "the Google Cloud project",
            "location": "the region (default `global`)",
            "auth": "`key`: the key is an API key, as of Vertex AI in express mode",
        }
        | _GEMINI,
        choices=_GEMINI_CHOICES | {"auth": ("key", "bearer")},
        environment={"project": ("GOOGLE_CLOUD_PROJECT",), "location": ("GOOGLE_CLOUD_LOCATION",)},
        defaults={"location": "global", "auth": "bearer"},
        priced_as="gemini",
        notes="Gemini's models. The key is an access token, which is good for an hour: "
        "`export CLOUDSDK_AUTH_ACCESS_TOKEN=$(gcloud auth print-access-token)`.",
    ),
}


def payee(provider: str) -> str:
    """Whose prices, and whose data on models, hold for a provider."""
    preset = PRESETS.get(provider)
    return preset.priced_as or provider if preset is not None else provider
