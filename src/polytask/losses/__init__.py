"""Pure maths on arrays: projections, targets and policy terms. Knows no environment, logger or config."""

from polytask.losses.categorical import categorical_td_target as categorical_td_target
from polytask.losses.categorical import cross_entropy as cross_entropy
from polytask.losses.categorical import expected_value as expected_value
from polytask.losses.categorical import project_categorical as project_categorical
from polytask.losses.policy import masked_tanh_normal as masked_tanh_normal
from polytask.losses.policy import soft_policy_loss as soft_policy_loss
from polytask.losses.policy import squash_log_std as squash_log_std
from polytask.losses.policy import temperature_loss as temperature_loss
from polytask.losses.value import soft_td_target as soft_td_target
