"""MBML: one policy from the logged data of many tasks, which infers an unseen task from what it sees there.

Multi-task batch reinforcement learning with metric learning (Li et al. 2020, arXiv 1909.11373), after its code. Stages:
`train_teachers` learns each task alone by BCQ; `train_ensembles` learns each task's reward, and `relabel` says which
transitions of other tasks it can be trusted on; `train_student` distils the teachers into one policy that is told the
task by a latent, which a set encoder infers from transitions; `infer` and `act` use it in a task that was never seen.

Deviations, beside those of the modules: one width and depth for all of the student's networks (the code has 1024 and
seven to nine layers); teachers are judged by nothing, and the last is taken (the code picks the best by evaluating it
in the simulator); a context is drawn with replacement, so that a pair with fewer than `context` agreed transitions
gives what it has; all tasks have the same sizes and one discount.
"""

from polytask.transfer.mbml.config import MBMLConfig as MBMLConfig
from polytask.transfer.mbml.data import Logs as Logs
from polytask.transfer.mbml.data import Relabelled as Relabelled
from polytask.transfer.mbml.infer import act as act
from polytask.transfer.mbml.infer import infer as infer
from polytask.transfer.mbml.infer import nearer as nearer
from polytask.transfer.mbml.rewards import relabel as relabel
from polytask.transfer.mbml.rewards import train_ensembles as train_ensembles
from polytask.transfer.mbml.student import Student as Student
from polytask.transfer.mbml.student import student_loss as student_loss
from polytask.transfer.mbml.student import train_student as train_student
from polytask.transfer.mbml.teachers import fresh_teachers as fresh_teachers
from polytask.transfer.mbml.teachers import train_teachers as train_teachers
