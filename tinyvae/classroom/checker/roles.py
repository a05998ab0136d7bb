"""Which argument of a loss is what: read from the names, as candidates that the values decide.

roles(["recon_x", "x", "mu", "logvar"])   [{"r": "recon_x", "x": "x", "mu": "mu", "s": "logvar"}]

x, r    the data, and what the decoder gave       mu, s   mean and scale of q(z|x)
z, eps  a draw and its noise                      t       a scale of the decoder
recon, kl   terms that are handed over            weight, count, step, capacity   plain numbers
"""

import itertools
import re

SCALE = re.compile(
    r"log_?var|log_?std|log_?sigma|log_?sd|log_?scale|logs|lnvar|ln_?sigma|(^|_)lv(_|$)|"
    r"var(iance)?(_|$)|(^|_)(std|sd|stddev|sigma|scale|s|v|sig|stdev|lstd|rho)(\d|_|$)|sigma2|_var",
)
PATTERNS = (
    ("reading", r"^(reduction|eps_?loss|training|device|size_average)$"),
    ("step", r"steps?$|epochs?$|^(it|iter|iteration|n_?iter)s?$"),
    ("capacity", r"^(c_?max|capacity|c_t|target_?kl|kl_?target|c_?capacity)$"),
    ("floor", r"free_?(bits|nats)|^(floor|kl_?floor|min_?kl|lambda_?free)"),
    (
        "weight",
        r"beta|weight|lambda|^lam|alpha|gamma|anneal|^w$|^w_|_w$|coef|^m_?n$|^kl_?scale|factor|"
        r"warm_?up|^weighting|ratio|multiplier|kld?_?(mult|lambda|reg)|^reg$",
    ),
    (
        "count",
        r"batch_?size|^bs$|data(set)?_?size|n_?(train|data|samples|examples)|"
        r"num_?(train|data|samples|examples|batches|pixels)|"
        r"(latent|input|original|z|x|data|image)_?(dim|size)s?|^total_?n",
    ),
    ("step", r"^(step|global_?step|epoch|iteration|iter|it|current_?(step|epoch)|n_?iter)s?$"),
    ("batch index", r"batch_?idx|optimizer_?idx"),
)
GIVEN_KL = re.compile(
    r"^(kl|kld)(_?(loss|div|divergence|term|z|value|per_example))?s?$|^latent_?loss$|^d_?kl$"
)
GIVEN_RECON = re.compile(
    r"^(recons?|rec|reconstruction|likelihood|img)_?(loss|error|err|term|cost|nll)$|^(nll|bce|mse|"
    r"log_?px|recon_?nll|neg_?log_?lik(elihood)?|distortion|rec_?err|xent)$"
)
DATA = re.compile(
    r"^(x|xs|data|inputs?|targets?|y_?true|true|originals?|imgs?|images?|orig|real|x_?true|"
    r"x_?(in|input|orig|target|batch)|batch(_?x)?|inp|observations?|obs|gt|ground_?truth|labels?|"
    r"xb|input_?(x|data|img|image)|target_?x|pixels|true_?x|in_?x|src|source)$"
)
RECON = re.compile(
    r"recon|x_?hat|hat_?x|logit|decod|prob|pred|^out(put)?s?(_x)?$|rec(_|$)|x_?(tilde|prime|out|bar)|^p$|"
    r"^(xr|xh|x1|x_|x2|rx|x_r|generated|gen|fake|y|yhat|y_?hat|px|p_?x|x_p|mu_?x|x_?mu|x_?mean|mean_?x|"
    r"dec_?(mean|mu|out)|out_?(mu|mean)|theta|x_rec|synth|rec_x|recx|xrec)$"
)
PRIOR = re.compile(r"prior|(^|_)p(_|$)|_p$|^p_")
MEAN = re.compile(
    r"^(z_?|q_?|enc_?|code_?|latent_?|encoder_?|posterior_?|post_?)?(mu|mus|mean|means|loc|m|location)"
    r"(_?(z|q|enc|code|latent|vec|vector|posterior|post|encoder))?s?$|mu|mean|loc"
)


def role_of(name):
    """The role that a name says, "" if none."""
    n = name.strip("_").lower() if name.strip("_") else name
    if name in ("B", "M", "N", "K", "D"):
        return "count"
    if name == "C":
        return "capacity"
    n = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip("_")).lower() or n
    for role, pattern in PATTERNS:
        if re.search(pattern, n):
            return role
    if GIVEN_KL.search(n):
        return "kl"
    if GIVEN_RECON.search(n):
        return "recon"
    if SCALE.search(n) and not n.startswith(("mu", "mean", "loc")):
        if re.search(r"(^|_)x(_|$)|recon|dec|out|obs|pixel|likelihood|noise", n):
            return "t"
        return "s_p" if PRIOR.search(n) else "s"
    if n in ("eps", "epsilon", "noise", "e", "xi", "eps_z"):
        return "eps"
    if re.fullmatch(r"z|zs|z_?samples?|latents?|codes?|samples?|z_?q|sampled_?z|encoding|h", n):
        return "z"
    if DATA.search(n):
        return "x"
    if RECON.search(n):
        return "r"
    if MEAN.search(n):
        return "mu_p" if PRIOR.search(n) else "mu"
    return ""


def reading_of(name):
    """How a name says that the argument is to be read: one of terms.SCALES, "logits", ... or "" """
    n = name.lower().replace("_", "")
    if "logit" in n:
        return "logits"
    if "prob" in n or n == "p":
        return "probabilities"
    if "logvar" in n or "lnvar" in n or n in ("lv",) or "logsigma2" in n or "logsigmasq" in n:
        return "logvar"
    if any(word in n for word in ("logstd", "lstd", "logsd", "logsigma", "lnsigma", "logscale")):
        return "log std"
    if "var" in n and "log" not in n:
        return "variance"
    if ("std" in n or n in ("sd", "zsd")) and "log" not in n:
        return "std"
    return ""


ESSENTIAL = ("r", "x", "mu", "s")
ORDERS = (
    ("r", "x", "mu", "s"),
    ("x", "r", "mu", "s"),
    ("mu", "s", "r", "x"),
    ("mu", "s", "x", "r"),
    ("r", "mu", "s", "x"),
    ("x", "mu", "s", "r"),
)


def roles(names):
    """Candidates {role or (role, number): name} for these required arguments, likely ones first.

    Several plain numbers of one role get numbers: ("weight", 0), ("weight", 1).
    """
    said = {name: role_of(name) for name in names}
    known, unknown = {}, []
    scales = [name for name in names if said[name] == "s"]
    if len(scales) > 1 and "t" not in said.values():  # the one beside mu is q's
        after = {name: names[i - 1] for i, name in enumerate(names) if i}
        beside = [name for name in scales if said.get(after.get(name)) == "mu"]
        if len(beside) == 1:
            said |= {name: "t" for name in scales if name not in beside}
    for name in names:
        role = said[name]
        if role in ("weight", "count", "step", "capacity", "floor", "batch index"):
            known[(role, sum(isinstance(r, tuple) and r[0] == role for r in known))] = name
        elif role in ("", "reading") or role in known:
            if role == "s" and "t" not in known:
                known["t"] = name
            elif role == "mu" and "mu_p" not in known and "s_p" in said.values():
                known["mu_p"] = name
            else:
                unknown.append(name)
        else:
            known[role] = name
    if "s" in known and "mu" not in known and not unknown and "kl" not in known:
        known["t"] = known.pop("s")
    if "r" in known and "x" not in known and "recon" not in known and not unknown:
        known["recon"] = known.pop("r")  # loss(recon, mu, logvar), loss(recon, kl)
    if "x" in known and "r" not in known and "mu" in known and "s" not in known and not unknown:
        known["r"] = known.pop("mu")  # nll(x, mean)
    if "x" in known and "r" not in known and "mu" in known and "s" in known and not unknown:
        known["r"], known["t"] = known.pop("mu"), known.pop("s")  # nll(x, mu, sigma)
    missing = [role for role in ESSENTIAL if role not in known]
    if "recon" in known:
        missing = [role for role in missing if role not in ("r", "x")]
    if "kl" in known:
        missing = [role for role in missing if role not in ("mu", "s")]
    if not unknown:
        return [known] if known else []
    found = []
    for order in ORDERS:
        places = [role for role in order if role in missing]
        for chosen in (places[: len(unknown)], *itertools.permutations(places, len(unknown))):
            if len(chosen) == len(unknown):
                candidate = known | dict(zip(chosen, unknown, strict=True))
                if candidate not in found:
                    found.append(candidate)
    if not found:  # more arguments than roles: plain numbers that weigh something
        extra = unknown[len(missing) :]
        base = known | dict(zip(missing, unknown, strict=False))
        found.append(base | {("weight", 10 + i): name for i, name in enumerate(extra)})
    return _either_way(found)[:24]


def _either_way(found):
    """The candidates, and those with data and reconstruction exchanged where names do not tell"""
    more = []
    for candidate in found:
        pair = candidate.get("r"), candidate.get("x")
        if None not in pair and {role_of(name) for name in pair} in ({"x"}, {"r"}):
            exchanged = candidate | {"r": pair[1], "x": pair[0]}
            if exchanged not in found:
                more.append(exchanged)
    return found + more
